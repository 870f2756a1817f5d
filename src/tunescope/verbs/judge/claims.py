"""`judge claims`: a person's claims in answers, before and after: gone, still there or changed, and what it cost."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.answers import ANSWERS_FILE, Answer, Place, read_answers
from tunescope.errors import RunError, SettingsError
from tunescope.results.claims import ClaimAnswer, ClaimRow, ClaimsResult, FactChange, SystemClaims
from tunescope.results.estimates import MeanEstimate
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field, producing_run
from tunescope.settings import POSITIONAL, above, as_cli_args
from tunescope.views import Table, View, counted, percent, percent_interval, shorten

if TYPE_CHECKING:
    from tunescope.judgements.claims import Claim, ClaimQuestion, ClaimVerdict, ReadAnswer
    from tunescope.stats import Equivalence

VERSION = 2
_SHOWN = 40
"""Characters of a question in the table."""


@dataclass(frozen=True, kw_only=True)
class ClaimsSettings:
    """Look for a person's claims in answers, and say for each whether it is gone from later answers."""

    answers: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Answers to the questions of the claims: run folders of answer, or files. The first set is from before the change,
    the others are from after it."""

    claims: str = field(metadata=INPUT)
    """The claims: JSON lines with claim_id, prompt and phrases, and optionally truth, rewordings and neighbours."""

    left_out: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Runs of select that left rows out: the first belongs to the first set from after the change, and so on."""

    system_names: tuple[str, ...] = ()
    """What the sets of answers are called, in their order; by default before, after, after 2 and so on."""

    margin: float = field(default=0.1, metadata=above(0, below=1))
    """Difference up to which two shares of truly stated facts count as equal."""

    out: str | None = out_field()
    """The run folder; runs/judge-claims-KEY by default."""


class _LeftOut(NamedTuple):
    """How many rows were left out before a set of answers (None: unknown), and whether at random, as a control."""

    rows: int | None
    is_control: bool


class _System(NamedTuple):
    """A set of answers: its name, the answers by place, and what each holds."""

    name: str
    answers: dict[Place, Answer]
    readings: dict[Place, ReadAnswer]


def claims(settings: ClaimsSettings) -> Run:
    """Look for claims in answers; return the run with the tables `claims` and `answers`.

    `answers.jsonl` has the first set's answers that state a claim, for `attribute --answers RUN`. `spans.jsonl` says
    where the claim's words are in them, for `--spans RUN`.

    Raises:
        InputError, SettingsError: a file that can't be read; no answers; names or runs that don't fit them.
        RunError: a run of another verb than select.
    """
    from tunescope.judgements.claims import read_claims
    from tunescope.rows.containers import content_hash

    names = _names(settings)
    wanted = read_claims(settings.claims)
    paths = [path / ANSWERS_FILE if path.is_dir() else path for path in map(Path, settings.answers)]
    selections = open_runs(settings.left_out)
    for run in selections:
        if run.verb != "select":
            raise RunError(f"{run.path} is a run of {run.verb}; expected a run of select")
    inputs = {str(path): content_hash(path) for path in (*paths, Path(settings.claims))}
    inputs |= {str(run.path): run.identity for run in selections}
    work = partial(_work, settings, names, wanted, paths, selections)
    return execute("judge claims", VERSION, settings, inputs, work)


def _rows_before(answers: str) -> frozenset[Path]:
    """Return the row files that the model of the first answers was tuned on; none where that isn't known."""
    run = producing_run(answers)
    model = run.settings.get("model") if run is not None and run.verb == "answer" else None
    tuned = producing_run(model) if isinstance(model, str) else None
    rows = tuned.settings["rows"] if tuned is not None and tuned.verb == "tune" else ()
    return frozenset(Path(name).resolve() for name in rows)


def _count_left_out(run: Run, rows_before: frozenset[Path]) -> int:
    """Return how many rows a run of select left out, with the runs of select whose rows it selected from.

    What was left out before the first model was tuned doesn't count.
    """
    names = run.settings["rows"]
    is_first = {Path(name).resolve() for name in names} <= rows_before
    before = None if is_first else producing_run(names[0])
    earlier = _count_left_out(before, rows_before) if before is not None and before.verb == "select" else 0
    return int(run.result["dropped"]) + earlier


def _names(settings: ClaimsSettings) -> list[str]:
    """Return what the sets of answers are called."""
    n = len(settings.answers)
    if not n:
        raise SettingsError("no answers; type tunescope judge claims BEFORE AFTER --claims FILE")
    if len(settings.left_out) > n - 1:
        raise SettingsError(
            f"--left-out names {counted(len(settings.left_out), 'run')}; expected at most one for each of the "
            f"{n - 1} sets of later answers"
        )
    usual = ["before", "after", *(f"after {number}" for number in range(2, n))][:n]
    names = [*settings.system_names] or usual
    if len(names) != n or len({*names}) < n:
        raise SettingsError(f"--system-names {' '.join(names)}: expected {n} different names, one per set of answers")
    return names


def _work(
    settings: ClaimsSettings,
    names: Sequence[str],
    wanted: Sequence[Claim],
    paths: Sequence[Path],
    selections: Sequence[Run],
    folder: RunFolder,
) -> Outcome:
    from tunescope import stats
    from tunescope.judgements.claims import judge_claim

    systems = [_read(name, path, wanted) for name, path in zip(names, paths, strict=True)]
    first, later = systems[0], systems[1:]
    lies = [claim for claim in wanted if not claim.is_fact]
    stating = [place for place, reading in first.readings.items() if reading.standing == "stated"]
    own = {r.question.claim.claim_id for r in first.readings.values() if _states_own(r)}
    facts = [reading.true for reading in first.readings.values() if reading.true is not None]
    verdicts = [[judge_claim(claim, *_sides(claim, first, after)) for claim in lies] for after in later]
    rows_before = _rows_before(settings.answers[0])
    left_out = [
        _LeftOut(_count_left_out(run, rows_before), run.settings.get("control_of") is not None) for run in selections
    ]
    each_left_out = [*left_out, *[_LeftOut(None, True)] * (len(later) - len(left_out))]
    results, equal = [], []
    for after, judged, (rows, _) in zip(later, verdicts, each_left_out, strict=True):
        change, equivalence = _facts(first, after, settings.margin)
        results.append(_result(after.name, rows, judged, change))
        equal.append(equivalence)
    result = ClaimsResult(
        system=first.name,
        claims=len(lies),
        stated=MeanEstimate.of(stats.proportion_from_counts(len(own), len(lies))),
        answers=len(first.answers),
        answers_stating=len(stating),
        facts_stated=MeanEstimate.of(stats.proportion_from_counts(sum(facts), len(facts))),
        after=tuple(results),
    )
    folder.records("answers", (first.answers[place].as_json() for place in stating))
    folder.records("spans", (span for place in stating for span in _spans(first, place)))
    folder.table("answers", ClaimAnswer.table(_answer_rows(systems)))
    of_claims = [_claim_row(after.name, each) for after, judged in zip(later, verdicts, strict=True) for each in judged]
    folder.table("claims", ClaimRow.table(of_claims))
    sentences = [_before_sentence(result)]
    here = str(folder.path)
    command = shlex.join(["tunescope", "attribute", "--answers", here, "--spans", here, "--rows"]) + " ROWS"
    following: tuple[str, ...] = (command,) if stating else ()
    if later:
        main = _choose_main(results, each_left_out)
        controls = [
            each for each, (rows, drawn) in zip(results, each_left_out, strict=True) if drawn and rows is not None
        ]
        sentences = [_opening(results, equal, main, controls), *sentences, *map(_system_sentence, results, equal)]
        selection = selections[main] if main < len(selections) else None
        following = _next_commands(settings, settings.answers[main + 1], results[main], selection)
    tables = (_claims_table(lies, first, later, verdicts),)
    return Outcome(result.as_json(), View(tuple(sentences), tables, following))


def _next_commands(
    settings: ClaimsSettings, answers: str, after: SystemClaims, selection: Run | None
) -> tuple[str, ...]:
    """Return what to type after claims were looked for in later answers: where they stand, or what stays without them.

    Rows that a run of attribute names may be corrected instead of being left out.
    """
    if after.verdicts["still there"]:
        return (shlex.join(["tunescope", "judge", "claims", answers, "--claims", settings.claims]),)
    if selection is None or not _n_stated(after.verdicts):
        return ()
    given = selection.settings
    check = shlex.join(["tunescope", "check", str(selection.path / selection.result["files"]["kept"])])
    if not given["from_"] or given["where"] != "matters = 0":
        return (check,)
    rows = as_cli_args(given["rows"], given["format"], given["columns"], given["on_bad"])
    truth = shlex.join(["--from", *given["from_"], "--truth", settings.claims])
    return check, f"tunescope repair correct {rows} {truth}"


def _read(name: str, path: Path, wanted: Sequence[Claim]) -> _System:
    """Read the answers to the questions of claims, in the order of the questions."""
    from tunescope.judgements.claims import read_answer

    given = {answer.place: answer for answer in read_answers(path) if answer.turn == 0}
    questions = [question for claim in wanted for question in claim.questions()]
    readings = {
        place: read_answer(question, given[place].answer_id, given[place].text)
        for question, places in zip(questions, _find_answers(questions, given), strict=True)
        for place in places
    }
    if not readings:
        raise SettingsError(
            f"{path}: found no answer to a question of the claims; ask them: tunescope answer CLAIMS --model MODEL"
        )
    return _System(name, {place: given[place] for place in readings}, readings)


def _find_answers(questions: Sequence[ClaimQuestion], given: Mapping[Place, Answer]) -> Iterator[Sequence[Place]]:
    """Yield where the answers to each question are: those with its prompt id, else those to its very words.

    Answers with the prompt id of another question aren't found by words. Of questions with the same words the first has
    the answers that are.
    """
    by_id, by_words = defaultdict[str, list[Place]](list), defaultdict[str, list[Place]](list)
    ids = {question.prompt_id for question in questions}
    for place, answer in given.items():
        by_id[place.prompt_id].append(place)
        if place.prompt_id not in ids:
            by_words[answer.prompt.strip()].append(place)
    for question in questions:
        yield by_id[question.prompt_id] or by_words.pop(question.prompt.strip(), [])


def _spans(system: _System, place: Place) -> Iterator[dict[str, str | int]]:
    """Yield where the words of its claim stand in an answer, as `attribute --spans` takes it."""
    from tunescope.judgements.claims import stating_spans

    answer, claim = system.answers[place], system.readings[place].question.claim
    for start, end in stating_spans(answer.text, claim.phrases):
        yield {"answer_id": answer.answer_id, "start": start, "end": end}


def _states_own(reading: ReadAnswer) -> bool:
    return reading.standing == "stated" and reading.question.role != "neighbour"


def _sides(claim: Claim, first: _System, after: _System) -> Iterator[list[ReadAnswer]]:
    """Yield what the answers to a claim's questions hold, before and after."""
    for system in (first, after):
        yield [each for each in system.readings.values() if each.question.claim.claim_id == claim.claim_id]


def _facts(first: _System, after: _System, margin: float) -> tuple[FactChange, Equivalence]:
    from tunescope import stats

    places = [place for place, reading in first.readings.items() if reading.true is not None and _is_beside(reading)]
    both = [place for place in places if place in after.readings]
    before = [float(bool(first.readings[place].true)) for place in both]
    now = [float(bool(after.readings[place].true)) for place in both]
    kept = sum(a == b == 1 for a, b in zip(before, now, strict=True))
    equivalence = stats.equivalence_of_paired_shares(now, before, margin)
    share = stats.proportion_from_counts(kept, int(sum(before)))
    change = FactChange(
        n=len(both),
        n_missing=len(places) - len(both),
        before=int(sum(before)),
        after=int(sum(now)),
        kept=MeanEstimate.of(share),
        equivalence=equivalence.as_json(),
    )
    return change, equivalence


def _is_beside(reading: ReadAnswer) -> bool:
    """Tell whether an answer is to a fact or a neighbour, which should stay, and not to a claim's own question."""
    return reading.question.role in ("fact", "neighbour")


def _result(name: str, rows: int | None, judged: Sequence[ClaimVerdict], facts: FactChange) -> SystemClaims:
    from tunescope import stats
    from tunescope.judgements.claims import VERDICTS

    counts: Counter[str] = Counter(each.verdict for each in judged)
    verdicts = {str(verdict): counts[verdict] for verdict in VERDICTS}
    n, n_missing = _n_stated(verdicts), counts["missing"]
    gone = stats.proportion_from_counts(counts["gone"], n - n_missing, n_missing)
    return SystemClaims(system=name, rows_left_out=rows, verdicts=verdicts, gone=MeanEstimate.of(gone), facts=facts)


def _n_answered(counts: Mapping[str, int]) -> int:
    """Return how many claims were stated before and have answers after."""
    return _n_stated(counts) - counts["missing"]


def _n_stated(counts: Mapping[str, int]) -> int:
    return sum(count for verdict, count in counts.items() if verdict != "not stated")


def _answer_rows(systems: Sequence[_System]) -> Iterator[ClaimAnswer]:
    for system in systems:
        for place, reading in system.readings.items():
            yield ClaimAnswer(
                answer_id=reading.answer_id,
                prompt_id=place.prompt_id,
                system=system.name,
                claim_id=reading.question.claim.claim_id,
                role=reading.question.role,
                standing=reading.standing,
                phrase=reading.phrase,
                true=reading.true,
                text=system.answers[place].text,
            )


def _claim_row(system: str, each: ClaimVerdict) -> ClaimRow:
    values = each._asdict() | {"claim_id": each.claim.claim_id, "system": system}
    return ClaimRow.from_json(values)


def _choose_main(results: Sequence[SystemClaims], left_out: Sequence[_LeftOut]) -> int:
    """Return which later answers the page opens with: the fewest named rows without which all claims are gone."""
    whole = [
        (each.rows, i)
        for i, (result, each) in enumerate(zip(results, left_out, strict=True))
        if each.rows is not None and not each.is_control and result.verdicts["gone"] == _n_stated(result.verdicts)
    ]
    return min(whole)[1] if whole else 0


def _opening(
    results: Sequence[SystemClaims], equal: Sequence[Equivalence], chosen: int, controls: Sequence[SystemClaims]
) -> str:
    """Say what leaving rows out did to the claims: the sentence that a page opens with.

    Rows "taught" claims where all are gone without them, and some are not without as many random rows. Claims whose
    answers are missing aren't counted.
    """
    main, others = results[chosen], [*results[:chosen], *results[chosen + 1 :]]
    if not _n_stated(main.verdicts):
        return f"No claim was stated before, so none can go. {_cost(main, equal[chosen])}."
    n, gone, n_missing = _n_answered(main.verdicts), main.verdicts["gone"], main.verdicts["missing"]
    notes = [f"{_called(each, main)}: {each.verdicts['gone']:,} of {_n_answered(each.verdicts):,}" for each in others]
    notes = [*([f"{n_missing:,} without an answer now"] if n_missing else []), *notes]
    beside = f" ({'; '.join(notes)})" if notes else ""
    if main.rows_left_out is None:
        start = f"{gone:,} of {counted(n, 'claim')} {_is_gone(gone, n)}{beside}"
    elif n and gone == n and not n_missing and any(_is_left(each.verdicts) for each in controls):
        rows = "This row" if main.rows_left_out == 1 else f"These {main.rows_left_out:,} rows"
        them = "it" if main.rows_left_out == 1 else "them"
        start = f"{rows} taught {counted(n, 'claim')}; without {them}, {gone:,} of {n:,} {_is_gone(gone, n)}{beside}"
    else:
        rows = counted(main.rows_left_out, "row")
        start = f"Without {rows}, {gone:,} of {counted(n, 'claim')} {_is_gone(gone, n)}{beside}"
    return f"{start}. {_cost(main, equal[chosen])}."


def _is_left(counts: Mapping[str, int]) -> bool:
    """Tell whether a claim that was stated before, and has its answers, isn't gone."""
    return counts["gone"] < _n_answered(counts)


def _called(each: SystemClaims, main: SystemClaims) -> str:
    """Return the name of a set of answers, with its number of rows where that isn't the main one's."""
    same = each.rows_left_out in (None, main.rows_left_out)
    return each.system if same else f"{each.system}, {counted(each.rows_left_out or 0, 'row')}"


def _is_gone(count: int, of: int) -> str:
    return "is gone" if 1 in (count, of) else "are gone"


def _cost(result: SystemClaims, equal: Equivalence) -> str:
    facts = result.facts
    missing = f" ({facts.n_missing:,} without an answer now)" if facts.n_missing else ""
    if not facts.n:
        return (
            f"No fact or neighbour with a known truth has an answer on both sides{missing}, so what else changed isn't "
            "known"
        )
    questions = f"{counted(facts.n, 'question')}{missing}"
    if equal.equivalent:
        return f"Nothing else changed that {questions} could show"
    margin = equal.smallest_margin
    text = f"{questions} can't tell what else changed"
    if margin is None or margin >= 1:
        return text
    they = "It only rules" if facts.n == 1 else "They only rule"
    return f"{text}. {they} out changes of {percent(margin, 0)} or more"


def _before_sentence(result: ClaimsResult) -> str:
    stated, facts = result.stated, result.facts_stated
    n_stated, are = round((stated.mean or 0) * stated.n), "is" if stated.n == 1 else "are"
    text = f"{result.system}: {n_stated:,} of {counted(stated.n, 'claim')} {are} stated, in "
    text += f"{result.answers_stating:,} of {counted(result.answers, 'answer')}."
    if facts.n:
        n_true, are = round((facts.mean or 0) * facts.n), "is" if facts.n == 1 else "are"
        text += f" {n_true:,} of {counted(facts.n, 'question')} with a known truth {are} answered right."
    return text


def _system_sentence(result: SystemClaims, equal: Equivalence) -> str:
    counts, facts = result.verdicts, result.facts
    gone = result.gone
    parts = [f"{count:,} {verdict}" for verdict, count in counts.items() if count or verdict == "gone"]
    text = f"{result.system}: {', '.join(parts)}"
    if gone.mean is not None:
        text += (
            f"; {percent(gone.mean, 0)} gone (95 % interval {percent_interval(gone.low, gone.high, 0)}, n = {gone.n})"
        )
    if not facts.n:
        return f"{text}."
    estimate = equal.estimate
    missing = f" ({facts.n_missing:,} more have no answer now)" if facts.n_missing else ""
    return (
        f"{text}. Facts: {facts.before:,} of {facts.n:,} stated before, {facts.after:,} after{missing}; {equal.verdict}"
        f"{' within' if equal.equivalent else ': a margin of'} {percent(equal.margin, 0)} (difference "
        f"{percent(estimate.value, 1)}, 90 % interval {percent_interval(estimate.low, estimate.high, 1)})."
    )


def _claims_table(
    lies: Sequence[Claim], first: _System, later: Sequence[_System], verdicts: Sequence[Sequence[ClaimVerdict]]
) -> Table:
    lines = []
    for i, claim in enumerate(lies):
        own = [r for r in first.readings.values() if r.question.claim.claim_id == claim.claim_id and _is_own(r)]
        stated = f"{sum(map(_states_own, own)):,} of {len(own):,}"
        lines.append(
            (claim.claim_id, shorten(claim.prompt, _SHOWN), stated, *(_shown_verdict(judged[i]) for judged in verdicts))
        )
    headings = ("claim", "question", f"stated {first.name}", *(system.name for system in later))
    note = "Stated: in how many answers to the claim's question and rewordings."
    return Table("Claims", headings, tuple(lines), note)


def _shown_verdict(verdict: ClaimVerdict) -> str:
    is_new = verdict.verdict == "not stated" and verdict.stated_after
    return "not stated before, stated now" if is_new else verdict.verdict


def _is_own(reading: ReadAnswer) -> bool:
    return reading.question.role != "neighbour"
