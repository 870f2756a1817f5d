"""What the judges share: answers of several systems, the items that they have in common, and a judge that is asked."""

from __future__ import annotations

import asyncio
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunescope import runs
from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements.files import JUDGEMENTS
from tunescope.judgements.tags import Tags
from tunescope.models.names import ModelNames
from tunescope.oracle.replies import ParsedReply
from tunescope.oracle.settings import OracleSettings
from tunescope.oracle.template import PromptTemplate
from tunescope.pairing import pair_up
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, RunFolder, RunJob, producing_run
from tunescope.settings import POSITIONAL, at_least
from tunescope.verbs.judge.verdict_request import VerdictRequest
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.oracle.calls import Calls
    from tunescope.oracle.pool import ItemResult

PROMPTS = Path(__file__).with_name("prompts")
"""Where our Jinja files are."""
ANSWERS = "a run of answer, a file of answers, or AlpacaEval's or just-eval's outputs"


@dataclass(frozen=True, kw_only=True)
class LiveSettings(OracleSettings):
    """Answers of one system or several, and a judge."""

    answers: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """The systems' answers: runs of `answer`, files of answers, or AlpacaEval's or just-eval's outputs."""

    system_names: tuple[str, ...] = field(default=(), metadata={"alias": ("names",)})
    """Names for the systems, one each, with the name of --reference last. By default a name says how the answers' model
    was tuned. If that isn't known, it is the model's name, or else the file's."""

    min_overlap: float = field(default=0.5, metadata=at_least(0, at_most=1))
    """Refuse two systems if the prompts that they share are less than this part of the larger set."""

    limit: int | None = field(default=None, metadata={**at_least(1), "alias": ("first",)})
    """Judge only this many items, in the order of their ids if these are numbers (the Limitations paper: 800)."""

    tags: str | None = field(default=None, metadata=INPUT)
    """A file with an id or instruction and true-or-false columns per item (just-eval's tags.json)."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt. docs/reference/judging.md lists the variables that it may use."""

    response_format: Literal["auto", "json", "tags"] = field(default="auto", metadata={"alias": ("replies",)})
    """Format of the verdicts: json (the server holds the model to a schema), tags (text, with the verdict after a
    marker), or auto, which makes one small call to test whether the server supports json."""

    max_new_tokens: int = field(default=512, metadata=at_least(1))
    """Maximum length of a reply in tokens."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Make no calls. Fill in every prompt and print how many calls and tokens there would be, and with --price the
    cost."""

    draws: int = field(default=10_000, metadata=at_least(100))
    """Number of random draws in the sign-flip test that compares systems' scores."""

    seed: int = 0
    """Seed of the sign-flip test and of seeded orders. It is also sent to the server if the temperature is above 0."""

    out: str | None = runs.out_field()
    """The run folder; runs/judge-NAME-KEY by default."""


class System(NamedTuple):
    """One system's answers, an item each.

    Attributes:
        name: what it is called.
        path: what the user called it.
        answers: the first sample's answer to each prompt's first question.
        left_out: the other answers.
    """

    name: str
    path: str
    answers: Sequence[Answer]
    left_out: int


class Shared(NamedTuple):
    """The items that two systems share, as pairs of answers; and how many each has alone."""

    pairs: list[tuple[Answer, Answer]]
    only_a: int
    only_b: int

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        return {"shared": len(self.pairs), "only_system": self.only_a, "only_reference": self.only_b}


def open_systems(paths: Sequence[str], names: Sequence[str]) -> tuple[list[System], dict[str, str]]:
    """Read every system's answers; return them and what the run's key knows of them.

    Raises:
        InputError: what holds no answers, or two answers to one question.
        SettingsError: names that don't tell the systems apart.
    """
    from tunescope.rows.containers import content_hash

    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise SettingsError(f"{twice[0]} is named twice; name each system's answers once (--control judges copies)")
    files = {path: _file(path) for path in paths}
    read = {path: _read(path, file) for path, file in files.items()}
    called = _names({path: answers for path, (answers, _) in read.items()}, names)
    systems = [System(called[path], path, *read[path]) for path in paths]
    inputs = {f"answers {s.path}": f"{content_hash(files[s.path])} {s.name}" for s in systems}
    return systems, inputs


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_dir():
        return path
    inside = path / "answers.jsonl"
    if not inside.is_file():
        raise InputError([Problem(name, None, "a folder without answers.jsonl", ANSWERS)])
    return inside


def _read(name: str, file: Path) -> tuple[list[Answer], int]:
    from tunescope.answers import read_answers

    found, left_out = dict[str, "Answer"](), 0
    for number, answer in enumerate(read_answers(file), 1):
        if answer.turn or answer.sample:
            left_out += 1
        elif answer.prompt_id in found:
            again = f"a second answer to prompt {answer.prompt_id} (record {number})"
            raise InputError([Problem(name, None, again, "one answer per prompt, turn and sample")])
        else:
            found[answer.prompt_id] = answer
    if not found:
        raise InputError([Problem(name, None, "no answers", ANSWERS)])
    return list(found.values()), left_out


def _names(read: Mapping[str, Sequence[Answer]], given: Sequence[str]) -> dict[str, str]:
    if given:
        if len(given) != len(read):
            listed = ", ".join(read)
            raise SettingsError(
                f"{counted(len(given), 'name')} for {counted(len(read), 'system')} ({listed}); one each"
            )
        names = dict(zip(read, given, strict=True))
    else:
        tuned = ModelNames([run for path in read if (run := producing_run(path)) is not None])
        names = {path: tuned.of_answers(path) or _model(answers) or _label(path) for path, answers in read.items()}
        count = Counter(names.values())
        names = {path: name if count[name] == 1 else f"{name} ({_label(path)})" for path, name in names.items()}
    alike = [name for name, count in Counter(names.values()).items() if count > 1]
    if alike:
        raise SettingsError(f"two systems are called {alike[0]}; call them --system-names A --system-names B")
    return names


def _model(answers: Sequence[Answer]) -> str:
    models = {answer.model for answer in answers}
    return models.pop() if len(models) == 1 else ""


def _label(path: str) -> str:
    place = Path(path)
    if place.name == "answers.jsonl":
        place = place.resolve().parent
    return place.name.partition(".")[0] or place.name


def shared(a: System, b: System, least: float) -> Shared:
    """Pair two systems' answers: by the prompt's id where its text is the same too, else by identical text.

    Raises:
        SettingsError: they share less than `least` of the larger set, or nothing.
    """
    question: Callable[[Answer], str] = lambda answer: answer.asked.strip()  # noqa: E731
    found = pair_up(a.answers, b.answers, {"id": lambda x: (x.prompt_id, question(x)), "prompt": question})
    pairs, larger = len(found.pairs), max(len(a.answers), len(b.answers))
    if not pairs or pairs / larger < least:  # as it stands here, 7 of 100 are 0.07
        raise SettingsError(
            f"{a.path} has answers to {counted(len(a.answers), 'prompt')} and {b.path} to {len(b.answers):,}, of which "
            f"{pairs:,} are the same ({100 * pairs / larger:.0f} %); expected at least {100 * least:g} % of the larger "
            "set; name answers to the same prompts" + (", or a lower --min-overlap" if pairs else "")
        )
    return Shared([(x, y) for x, y, _ in found.pairs], len(found.only_a), len(found.only_b))


def fill_in(template: PromptTemplate, must: Sequence[str], values: Mapping[str, Any], instructions: str) -> str:
    """Fill in a prompt; `instructions` say how to reply.

    Raises:
        SettingsError: it fails, or shows the judge less than it `must`.
    """
    text = template.render_with(values, instructions)
    for name, value in [*((name, str(values[name])) for name in must), ("form", instructions)]:
        if value.strip() not in text:
            raise SettingsError(
                f"--prompt {template.name} doesn't show {{{{ {name} }}}} as it is; the judge has to see the question "
                "and what it judges, and in {{ form }} how to write its verdict"
            )
    return text


def reply_record(result: ItemResult[ParsedReply], request: VerdictRequest) -> dict[str, Any]:
    """Return what a record keeps of a reply as it came, and of how it was asked for."""
    parsed = result.value
    if parsed is None:
        missing = dict.fromkeys(("way", "mark", "text", "finish_reason", "call_id"))
        return {**missing, "failed": result.failure}
    return {
        "way": parsed.reply_format,
        "mark": request.verdict_marker if parsed.reply_format == "tags" else None,
        "text": parsed.text,
        "finish_reason": parsed.reply.finish_reason,
        "call_id": result.call_ids[0],
        **({} if parsed.reply.thinking is None else {"thinking": parsed.reply.thinking}),
    }


class JudgeJob(NamedTuple):
    """A judge's work, ready to be asked.

    Attributes:
        name: the verb.
        version: of its numbers.
        requests: what is asked, by a key that `records` understands.
        n_items: how many judgements these are of.
        records: the lines of judgements.jsonl (as JSON reads them), from each request's result and the judge's name.
        summarize: the first sentences, about what was judged by whom; and numbers of what was left out.
        inputs: what the run's key knows beside the settings and the judge.
    """

    name: str
    version: int
    requests: Mapping[Any, VerdictRequest]
    n_items: int
    records: Callable[[Mapping[Any, ItemResult[ParsedReply]], str], list[dict[str, Any]]]
    summarize: Callable[[str], tuple[list[str], dict[str, Any]]]
    inputs: Mapping[str, str]


def judge_run(settings: LiveSettings, job: JudgeJob) -> RunJob:
    """Return the run that asks the judge or, with `--plan`, counts what it would be asked.

    Raises:
        SettingsError: a prompt that shows the judge too little, or a model that can't be told.
        TunescopeError: the server isn't there, or refuses the key.
    """
    from tunescope.oracle.connect import oracle_inputs, resolve_model

    if settings.plan:
        return _plan_run(settings, job)
    for request in job.requests.values():
        request.render("tags")  # a prompt that shows too little is refused before anything is asked
    model = resolve_model(settings)
    inputs = {**job.inputs, **oracle_inputs(settings.oracle, model)}
    return RunJob(job.name, job.version, settings, inputs, partial(_judge, settings, job, model), "oracle")


def _plan_run(settings: LiveSettings, job: JudgeJob) -> RunJob:
    from tunescope.oracle.connect import oracle_inputs
    from tunescope.oracle.plan import find_journal, plan_requests

    journal = find_journal(
        job.name,
        job.version,
        replace(settings, out=None),
        lambda model: {**job.inputs, **oracle_inputs(settings.oracle, model)},
    )
    inputs = {**job.inputs, **({} if journal is None else journal.inputs)}
    inputs |= {} if settings.price is None else {"price": settings.price}
    items = [(request, [request]) for request in job.requests.values()]
    about = f"for {job.n_items:,} judgements"
    return RunJob(
        f"{job.name} plan",
        job.version,
        settings,
        inputs,
        lambda folder: plan_requests(job.name, settings, items, _ask, journal, about, job.n_items),
    )


async def _ask(request: VerdictRequest, calls: Calls) -> ParsedReply:
    """Ask for one verdict: an item of a judge is one call."""
    return await calls.ask(request)


def _judge(settings: LiveSettings, job: JudgeJob, model: str, folder: RunFolder) -> Outcome:
    """Ask, keep every judgement in judgements.jsonl, and write the tables that `judge recompute` makes of it.

    Raises:
        WorkError: the server went away, or the budget is used up; the same command continues.
        TunescopeError: no call can succeed (a refused key, an unknown model).
    """
    from tunescope.judgements.formats.tunescope import FORMAT, judgements_of
    from tunescope.judgements.outcome import write_summary
    from tunescope.judgements.summary import SummaryOptions, summarize
    from tunescope.oracle.caller import describe_usage
    from tunescope.oracle.connect import connect
    from tunescope.oracle.pool import ask_all

    with connect(settings, model, folder.path, len(job.requests), "replies") as results:
        asyncio.run(ask_all(results.caller, job.requests.items(), _ask, results.add))
    records = job.records(results, model)
    folder.records(Path(JUDGEMENTS).stem, records)
    sentences, numbers = job.summarize(model)
    leading = {**numbers, "oracle_model": model, **results.caller.budget.summary()}
    usage = describe_usage(results.caller, settings.journal is not None)
    where = f"{usage}. Every reply is in the journal, every judgement in {folder.path / JUDGEMENTS}."
    options = SummaryOptions(seed=settings.seed, draws=settings.draws)
    summary = summarize(judgements_of(records), FORMAT, options, Tags(None))
    outcome = write_summary(summary, folder, leading, sentences, [where])
    again = shlex.join(["tunescope", "judge", "recompute", str(folder.path / JUDGEMENTS)])
    shown = (*outcome.view.sentences, *_lengths(outcome.result))
    view = replace(outcome.view, sentences=shown, next=(*outcome.view.next, again))
    return results.unanswered("verdicts").added_to(outcome.result, view)


def _lengths(result: Mapping[str, Any]) -> Iterator[str]:
    winners, losers = result.get("length_of_winners"), result.get("length_of_losers")
    if winners is not None and losers is not None:
        yield f"Answers that won have {winners:,.0f} characters on average, those that lost {losers:,.0f}."
