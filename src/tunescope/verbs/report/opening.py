"""The sentences that the page opens with."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.answers import ANSWERS_FILE, read_answers
from tunescope.models.names import ModelNames
from tunescope.results.attribute import AttributeResult
from tunescope.results.bench import BenchResult, BenchScore
from tunescope.results.check import CheckResult, find_selection
from tunescope.results.claims import ClaimAnswer, ClaimsResult
from tunescope.results.compare import CompareKind, CompareResult, CompareSetup, ScoreComparison, ScoresResult
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.results.shift import OWN_CHOICE, ShiftResult
from tunescope.runs import Run
from tunescope.verbs.report.names import of_verb
from tunescope.verbs.report.scores import BenchedModel, benched_models, is_above, is_below
from tunescope.views import counted, interval, percent, shorten, show

_SHOWN_FAULTS = 3
_SHOWN_TASKS = 3
_SHOWN_CLAIMS = 4
_SHOWN_TEXT = 90
"""Characters of an answer to a claim's question."""


def sentences(opened: Sequence[Run], names: ModelNames) -> Iterator[str]:
    """Yield what became of claims, what is wrong with rows, what tuning changed, and what models score."""
    yield from (run.view.sentences[0] for run in of_verb(opened, "judge claims"))
    checks = of_verb(opened, "check")
    yield from map(_check, checks)
    for run in of_verb(opened, "study analyze"):
        yield from run.view.sentences[1:]  # the first says how the doses were read
    changes = [text for run in of_verb(opened, "compare") if (text := _change(run, opened, names))]
    if changes:
        yield "What tuning changed: " + " ".join(changes)
    yield from map(_scores, benched_models(opened, names))
    yield from (_scores_compared(run, names) for run in _score_comparisons(opened))
    yield from (_shift(run, names) for run in of_verb(opened, "shift"))
    yield from (_attribute(run, names) for run in of_verb(opened, "attribute"))
    yield from (_trace(run, names) for run in of_verb(opened, "trace"))


_STEPS = {
    ("judge claims", "judge claims"): "see which claims are still stated, and which rows teach them",
    ("judge claims", "attribute"): "find the rows that taught the claims",
    ("judge claims", "check"): "continue with the remaining rows, and see what else is wrong with them",
    ("attribute", "select"): "drop the rows that taught it and tune again",
    ("bench", "bench"): "see how far the scores depend on template and exemplars",
    ("bench", "compare"): "score another model on the same items, and compare the two",
}
"""What the command is for that a run of one verb names to be typed next."""


_FIRST_TITLES = {
    "study analyze": "What a dose of falsity does",
    "study race": "Which way to choose rows is better?",
    "study match": "LoRA and full tuning at equal loss",
    "judge claims": "Which rows taught the claims, and are the claims gone without them?",
}
"""What a page with a run of these is called, the first of them, whatever else is on it."""
_TITLES = {
    "attribute": "Which rows taught it",
    "trace": "Where the words of the answers come from",
    "shift": "Where tuning changed the model",
    "shift runs": "Where tuning changed the models",
    "judge": "Which answers are better?",
    "judge aspects": "How good are the answers?",
    "compare": "What changed",
    "answer": "What was asked, and what was said",
    "measure": "What the rows are like",
    "repair rate": "How the oracle rates the rows",
    "repair": "What repair did to the rows",
    "select": "Which rows were kept",
    "falsify": "True and false rows",
    "study": "What the study did",
    "attribute index": "Rows, ready to be asked which of them taught an answer",
    "trace index": "Rows, ready to be asked whose words an answer has",
}
"""What a page is called where nothing else says it: by the first of these that a run on it is of."""


class Told(NamedTuple):
    """A claim's own question, what was said to it before, and what later; `later` names the later answers."""

    asked: str
    before: str
    later: str
    after: str


def told(opened: Sequence[Run]) -> Iterator[Told]:
    """Yield what was said to the first claims that the model stated, before and after, by the first judged run."""
    for run in of_verb(opened, "judge claims")[:1]:
        result = ClaimsResult.read(run)
        if not result.after:
            return
        first = result.after[0]
        later = f"without {counted(first.rows_left_out, 'row')}" if first.rows_left_out else "after"
        asked = {claim: question for claim, question, *_ in _claims_asked(run)}
        own = [each for each in ClaimAnswer.read_rows(run) if each.role == "question"]
        said = {(each.system, each.claim_id): each for each in own}
        stated = [each for each in own if each.system == result.system and each.standing == "stated"]
        for each in stated[:_SHOWN_CLAIMS]:
            after = said.get((first.system, each.claim_id))
            answer = "no answer" if after is None else shorten(after.text, _SHOWN_TEXT)
            yield Told(asked.get(each.claim_id, each.claim_id), shorten(each.text, _SHOWN_TEXT), later, answer)


def _claims_asked(run: Run) -> Iterator[Sequence[Any]]:
    """Yield the rows of the view's table of claims: id, question and what follows."""
    return (row for table in run.view.tables if table.title == "Claims" for row in table.rows)


def next_step(opened: Sequence[Run]) -> tuple[str, str] | None:
    """Return what to do next that isn't done yet, as a purpose and a command; None where no run names anything."""
    return next(filter(None, _next_steps(opened)), None)


def describe(opened: Sequence[Run], names: ModelNames) -> str:
    """Return a title: what the runs are about."""
    files = dict.fromkeys(Path(file).name for run in of_verb(opened, "check") for file in run.settings["rows"])
    tuned = dict.fromkeys(map(names.of_run, of_verb(opened, "tune")))
    scored = dict.fromkeys(model.name for group in benched_models(opened, names) for model in group)
    told = next((title for verb, title in _FIRST_TITLES.items() if of_verb(opened, verb)), None)
    if told is not None:
        return told
    if files and tuned:
        return f"What {_listed(files)} did to {_listed(tuned)}"
    about = _listed(tuned) or _listed(scored) or _listed(files)
    if about:
        return f"What is known of {about}"
    verbs = {run.verb for run in opened} | {run.verb.split()[0] for run in opened if run.verb not in _TITLES}
    return next(
        (title for verb, title in _TITLES.items() if verb in verbs), f"A report on {counted(len(opened), 'run')}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _next_steps(opened: Sequence[Run]) -> Iterator[tuple[str, str] | None]:
    """Yield what to do next and why: about claims, rows that taught answers, faults or scores, in this order."""
    judged = of_verb(opened, "judge claims")
    yield from map(_first_step, judged or of_verb(opened, "attribute"))
    yield from (_after_check(run, opened) for run in of_verb(opened, "check"))
    benched = of_verb(opened, "bench")
    if _score_comparisons(opened):
        benched = [run for run in benched if not run.view.next[:1] or " compare " not in run.view.next[0]]
    else:
        yield from (_compare_step(first, second) for first, second in pairwise(benched))
    yield from map(_first_step, benched)


def _first_step(run: Run) -> tuple[str, str] | None:
    """Return the command that a run names first, and what it is for."""
    command = next(iter(run.view.next), "")
    for (verb, following), purpose in _STEPS.items():
        if run.verb == verb and command.startswith(f"tunescope {following} "):
            return purpose, command
    return None


def _compare_step(first: Run, second: Run) -> tuple[str, str] | None:
    """Return the command that compares two runs' scores, if they have a task in common."""
    if not BenchResult.read(first).tasks.keys() & BenchResult.read(second).tasks.keys():
        return None
    command = shlex.join(["tunescope", "compare", str(first.path), str(second.path)])
    return "see item by item whether the scores differ", command


def _after_check(check: Run, opened: Sequence[Run]) -> tuple[str, str] | None:
    """Say what to do about the rows that a check found, and hasn't been done by one of the opened runs."""
    selection = find_selection(check, opened)
    if selection is not None:
        inputs = [name for run in of_verb(opened, "tune") for name in run.info["inputs"]]
        if any(name.startswith(str(selection.path)) for name in inputs):
            return None
        command = shlex.join(["tunescope", "tune", str(selection.path / selection.result["files"]["kept"])])
        return f"tune again on the {selection.result['kept']:,} rows that were kept", command
    step = next(iter(check.view.next), "")
    if step.startswith("tunescope select "):
        return "drop the rows that are surely wrong and tune again", step
    return ("look at the rows that may be wrong", step) if step.startswith("tunescope check ") else None


def _check(run: Run) -> str:
    """Say how many rows have a fault, and which faults are the most frequent."""
    result = CheckResult.read(run)
    counts = {name: count for name, count in result.faults.items() if count}
    if not counts:
        return f"What is wrong with the rows: nothing that check looks for, in {counted(result.rows, 'row')}."
    most = sorted(counts, key=lambda name: -counts[name])[:_SHOWN_FAULTS]
    named = ", ".join(f"{name.replace('_', ' ')} ({counts[name]:,})" for name in most)
    share = percent(result.faulty_rows / result.rows, 0)
    n_sure = result.surely_wrong_rows
    sure = f"{n_sure:,} of them are" if n_sure > 1 else "1 of them is" if n_sure else "none of them is"
    return (
        f"What is wrong with the rows: {result.faulty_rows:,} of {result.rows:,} ({share}) have a fault, and "
        f"{sure} surely wrong. "
        f"{counted(len(counts), 'kind')} of fault occurred, most often {named}."
    )


def _shift(run: Run, names: ModelNames) -> str:
    """Say how many of a tuned model's tokens are its base's first choice too."""
    result = ShiftResult.read(run)
    tuned, base = names.of_model(result.tuned), names.of_model(result.base)
    own = result.own_choice.mean
    tokens = f"its {result.tokens:,} tokens"
    if own is not None and own < OWN_CHOICE:
        tokens = f"what {tuned} would choose at {result.tokens:,} tokens of other answers"
    return (
        f"Where tuning changed {tuned}: {percent(result.unshifted.mean, 1)} of {tokens} are {base}'s first choice too"
        f"{_within(result.unshifted, 100)}, and {percent(result.shifted.mean, 1)} aren't among its first three"
        f"{_within(result.shifted, 100)}. The mean KL is {show(result.kl.mean)} nats{_within(result.kl, 1)}"
        f"{'' if result.kl.low is None else ' (95 % intervals)'}, over {counted(result.kl.n, 'answer')}."
    )


def _within(estimate: MeanEstimate, unit: float) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" {interval(unit * estimate.low, unit * estimate.high, 1 if unit > 1 else 3)}"


def _attribute(run: Run, names: ModelNames) -> str:
    """Say how many rows matter for answers, and whose answers they are."""
    result, model = AttributeResult.read(run), _model_of(run)
    which = {row.index for answer in result.answers for row in answer.rows if row.matters}
    whose = "this answer" if result.n == 1 else f"{result.n:,} answers"
    matter = "matters" if len(which) == 1 else "matter"
    are = f"{len(which):,} of {counted(result.rows_indexed, 'row')} {matter} for {whose}"
    if all(answer.matters is None for answer in result.answers):
        are = f"{counted(result.rows_indexed, 'row')} are ordered for {whose}; how many of them matter isn't known"
    return f"Which rows taught {names.of_model(model) if model else 'it'}: {are}, by {', '.join(result.evidence)}."


def _model_of(run: Run) -> str | None:
    """Return the model whose answers a run holds; None where it holds none."""
    if not (run.path / ANSWERS_FILE).is_file():
        return None
    return next((answer.model for answer in read_answers(run.path / ANSWERS_FILE) if answer.model), None)


def _trace(run: Run, names: ModelNames) -> str:
    """Return the trace's finding, with the model whose words it is about where the run holds answers."""
    finding, model = " ".join(run.view.sentences), _model_of(run)
    return f"Where {names.of_model(model)}'s words come from: {finding}" if model else finding


def _scores(models: Sequence[BenchedModel]) -> str:
    """Say what models score that share tasks."""
    suites = ", ".join(dict.fromkeys(model.result.suite for model in models))
    return f"What models score on {suites}: {'; '.join(map(_model_scores, models))}."


def _model_scores(model: BenchedModel) -> str:
    """Say a model's mean and how many of its scores are above guessing; without a mean each score."""
    tasks, whole = model.result.tasks, model.result.means.get("all")
    if len(tasks) == 1 or whole is None:
        return f"{model.name} {', '.join(_task_score(name, score) for name, score in tasks.items())}"
    n_of = {
        name.partition(" ")[0]: score.n for name, score in tasks.items()
    }  # several scores may be of one task's items
    items = f"{counted(len(n_of), 'task')} with {counted(sum(n_of.values()), 'item')}"
    mean = "no mean" if whole.mean is None else f"a mean of {whole.mean:.3f}"
    missing = f" ({_named(whole.missing)} missing)" if whole.missing else ""
    beside = {name: score for name, score in tasks.items() if score.chance is not None}
    above = sum(is_above(score, score.chance) for score in beside.values())
    below = [name for name, score in beside.items() if is_below(score, score.chance)]
    guessing = f", above guessing on {above} of {len(beside)}" if beside else ""
    return f"{model.name} {mean} over {items}{missing}{guessing}{f', below on {_named(below)}' if below else ''}"


def _task_score(name: str, score: BenchScore) -> str:
    if score.score is None:
        return f"no score on {name}"
    guessing = "" if score.chance is None else f", guessing {show(score.chance)}"
    within = "" if score.low is None else f" {interval(score.low, score.high, 3)}"
    return f"{score.score:.3f}{within} on {name} (n = {score.n:,}{guessing})"


def _named(tasks: Sequence[str]) -> str:
    """Name a few tasks, or say how many there are."""
    return ", ".join(tasks) if len(tasks) <= _SHOWN_TASKS else counted(len(tasks), "task")


def _score_comparisons(opened: Sequence[Run]) -> list[Run]:
    return [run for run in of_verb(opened, "compare") if CompareKind.read(run).kind == "scores"]


def _scores_compared(run: Run, names: ModelNames) -> str:
    """Say on which tasks B differs from A, and of which no harm is shown."""
    tasks, (a, b) = ScoresResult.read(run).tasks, names.of_scores(run)
    differing = {name: task for name, task in tasks.items() if task.p_holm is not None and task.p_holm < ALPHA}
    parts = [_apart(name, task) for name, task in differing.items()]
    rest = len(tasks) - len(differing)
    if rest:
        parts.append(f"no difference found on {f'{rest} of ' if parts else ''}{counted(len(tasks), 'task')}")
    return f"How {b} scores compared with {a}, item by item: {'; '.join(parts)}.{_harm(run, tasks)}"


def _apart(name: str, task: ScoreComparison) -> str:
    """Say by how many points B's score is above or below that of A, with the interval of the difference."""
    difference = task.difference
    if difference.mean is None or difference.low is None or difference.high is None:
        return f"other scores on {name}"
    within = interval(100 * difference.low, 100 * difference.high, 1)
    way = "above" if difference.mean > 0 else "below"
    return f"{way} by {100 * abs(difference.mean):.1f} points {within} on {name} (n = {difference.n:,})"


def _harm(run: Run, tasks: Mapping[str, ScoreComparison]) -> str:
    """Say of which tasks no harm is shown, of which harm, and of which neither; "" without --no-harm."""
    verdicts = {kind: [n for n, t in tasks.items() if t.no_harm == kind] for kind in ("shown", "harm", "too few items")}
    wording = {"shown": "no harm on {}", "harm": "harm on {}", "too few items": "too few items of {} to tell"}
    parts = [wording[kind].format(_named(which)) for kind, which in verdicts.items() if which]
    margin = CompareSetup.read_settings(run).no_harm
    return f" With a margin of {margin:g} points: {'; '.join(parts)}." if parts and margin is not None else ""


def _change(run: Run, opened: Sequence[Run], names: ModelNames) -> str | None:
    """Say how two models' answers to the same prompts differ; None for a comparison of something else."""
    if CompareKind.read(run).kind != "answers":
        return None
    result, sides = CompareResult.read(run), CompareSetup.read_settings(run)
    first, second = names.of_folder(opened, sides.a), names.of_folder(opened, sides.b)
    prompts = result.same + result.changed
    text = f"The answers of {second} differ from those of {first} on {result.changed} of {prompts} prompts."
    overlap = result.word_overlap
    if overlap is not None and overlap.mean is not None:
        text += f" They share {100 * overlap.mean:.0f} % of their words"
        if overlap.low is not None and overlap.high is not None:
            text += f" (95 % interval {100 * overlap.low:.0f} to {100 * overlap.high:.0f})"
        text += "."
    length = result.summary.get("answer_words")
    return text if length is None else f"{text}{_length(length.difference, length.p, second)}"


def _length(difference: MeanEstimate, p: float | None, model: str) -> str:
    """Say by how many words a model's answers are longer or shorter, where a test can tell."""
    if difference.mean is None or p is None:
        return ""
    if p >= ALPHA:
        return f" We can't tell with {difference.n} answers whether they differ in length."
    way = "longer" if difference.mean > 0 else "shorter"
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        certainty = f"p = {p:.2g}"
    else:
        low, high = sorted((abs(difference.low), abs(difference.high)))
        certainty = f"{low:.0f} to {high:.0f}"
    return f" The answers of {model} are {abs(difference.mean):.0f} words {way} ({certainty})."
