"""What the live judges share: answers of several systems, the items that they share, and an oracle's replies."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from tunescope import runs
from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements.files import JUDGEMENTS
from tunescope.judgements.parsing import without_thoughts
from tunescope.judgements.tags import Tags
from tunescope.oracle.plan import planned
from tunescope.oracle.settings import OracleSettings, refuse_nonsense
from tunescope.oracle.template import PromptTemplate
from tunescope.pairing import pair_up
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, at_least
from tunescope.verbs.judge.reading import Reading, holds
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.oracle.ask import Answered, Calls, Oracle
    from tunescope.oracle.replies import ParsedReply
    from tunescope.oracle.reply_format import ReplyFormat
    from tunescope.oracle.reply_schema import ReplySchema
    from tunescope.oracle.run import ItemResult, Known

K = TypeVar("K")
PROMPTS = Path(__file__).with_name("prompts")
"""Where our Jinja files are."""
AS: Mapping[ReplyFormat, str] = {
    "json": "as JSON, which the server holds the model to",
    "tags": "as text, with the verdict behind a mark",
}
"""How replies are asked for."""
ANSWERS = "a run of answer, a file of answers, or AlpacaEval's or just-eval's outputs"


@dataclass(frozen=True, kw_only=True)
class LiveSettings(OracleSettings):
    """Answers of one system or several, and a judge."""

    answers: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """The systems' answers: runs of `answer`, files of answers, or AlpacaEval's or just-eval's outputs."""

    system_names: tuple[str, ...] = field(default=(), metadata={"alias": ("names",)})
    """Names for the systems, one each, with that of a --reference last; by default the answers' model, else the
    file."""

    min_overlap: float = field(default=0.5, metadata=at_least(0, at_most=1))
    """Refuse answers of which two systems share less than this part, of those of the larger set."""

    limit: int | None = field(default=None, metadata={**at_least(1), "alias": ("first",)})
    """Judge only this many items, ordered by their ids where these are numbers (the Limitations paper: 800)."""

    tags: str | None = field(default=None, metadata=INPUT)
    """A file with an id or instruction and true-or-false columns per item (just-eval's tags.json)."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file instead of ours; docs/judge-live.md has what it may use."""

    replies: Literal["auto", "json", "tags"] = "auto"
    """How verdicts are asked for: json (the server holds the model to a schema), tags (text, with the verdict behind a
    mark), or auto, which finds out with one small call whether the server can do json."""

    max_new_tokens: int = field(default=512, metadata=at_least(1))
    """Longest reply in tokens."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Ask nothing: fill in every prompt and say how many calls and tokens, and with --price how much money."""

    draws: int = field(default=10_000, metadata=at_least(100))
    """Bootstrap draws."""

    seed: int = 0
    """Seed of the bootstrap and of seeded orders; above temperature 0 it is sent to the server too."""

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


class Ballot(NamedTuple):
    """What a judge is asked to write, as JSON and as text, and what reads either.

    Attributes:
        form: the fields of the JSON.
        of_form: what a form that is filled in says.
        lines: how to reply in text; with the mark behind which the verdict stands.
        of_text: what a text says: its text, the reason for its end, the mark, and the answers that the judge saw.
        expected: tokens of a usual reply.
    """

    form: ReplySchema
    of_form: Callable[[ParsedReply], Reading[Any]]
    lines: Callable[[str], str]
    of_text: Callable[[str, str | None, str, Sequence[str]], Reading[Any]]
    expected: int


class RenderedVerdict(NamedTuple):
    """A call: its prompt, and the schema that goes with it (None: none does)."""

    prompt: str
    schema: dict[str, Any] | None


class Sheet(NamedTuple):
    """What is asked in one call, before it is known how.

    Attributes:
        ballot: what the judge is to write.
        fill: puts into the prompt how to reply.
        mark: the code that marks a verdict in text.
        shown: the answers that the judge sees.
    """

    ballot: Ballot
    fill: Callable[[str], str]
    mark: str
    shown: tuple[str, ...]

    @property
    def expected_tokens(self) -> int:
        """Return the tokens of a usual reply."""
        return self.ballot.expected

    def render(self, way: ReplyFormat) -> RenderedVerdict:
        """Write it out; raises `SettingsError` where the prompt can't be filled in."""
        if way == "json":
            return RenderedVerdict(self.fill(self.ballot.form.json_instructions()), self.ballot.form.json_schema())
        return RenderedVerdict(self.fill(self.ballot.lines(self.mark)), None)

    def read(self, text: str, finish_reason: str | None, way: ReplyFormat) -> Reading[Any]:
        """Read the reply to it, without the thoughts that a reasoning model puts before it."""
        text = without_thoughts(text)
        if way == "tags":
            return self.ballot.of_text(text, finish_reason, self.mark, self.shown)
        found = self.ballot.of_form(self.ballot.form.parse_json(text, finish_reason))
        if found.verdict is not None and any(holds(answer, text, self.ballot.form) for answer in self.shown):
            return Reading(None, "quoted")
        return found


class Heard(NamedTuple):
    """A reply, how it was asked for, and what it says."""

    reply: Answered
    way: ReplyFormat
    found: Reading[Any]


class Shared(NamedTuple):
    """The items that two systems share, as pairs of answers; and how many each has alone."""

    pairs: list[tuple[Answer, Answer]]
    only_a: int
    only_b: int

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        return {"shared": len(self.pairs), "only_system": self.only_a, "only_reference": self.only_b}


def refuse(settings: LiveSettings) -> None:
    """Raise `SettingsError` for what can't work."""
    refuse_nonsense(settings)


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
        names = {path: _model(answers) or _label(path) for path, answers in read.items()}
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
    question: Callable[[Answer], str] = lambda answer: question_of(answer).strip()  # noqa: E731
    found = pair_up(a.answers, b.answers, {"id": lambda x: (x.prompt_id, question(x)), "prompt": question})
    pairs, larger = len(found.pairs), max(len(a.answers), len(b.answers))
    if not pairs or pairs / larger < least:  # as it stands here, 7 of 100 are 0.07
        raise SettingsError(
            f"{a.path} has answers to {counted(len(a.answers), 'prompt')} and {b.path} to {len(b.answers):,}, of which "
            f"{pairs:,} are the same ({100 * pairs / larger:.0f} %); expected at least {100 * least:g} % of the larger "
            "set; name answers to the same prompts" + (", or a lower --min-overlap" if pairs else "")
        )
    return Shared([(x, y) for x, y, _ in found.pairs], len(found.only_a), len(found.only_b))


def question_of(answer: Answer) -> str:
    """Return what was answered: the question, or the whole conversation with who said what."""
    if len(answer.messages) == 1 and answer.messages[0].role == "user":
        return answer.messages[0].content or ""
    return "\n\n".join(f"[{message.role}]\n{message.content or ''}" for message in answer.messages)


def fill_in(template: PromptTemplate, must: Sequence[str], values: Mapping[str, Any], form: str) -> str:
    """Fill in a prompt; `form` says how to reply.

    Raises:
        SettingsError: it fails, or shows the judge less than it `must`.
    """
    text = template.render_with(values, form)
    for name, value in [*((name, str(values[name])) for name in must), ("form", form)]:
        if value.strip() not in text:
            raise SettingsError(
                f"--prompt {template.name} doesn't show {{{{ {name} }}}} as it is; the judge has to see the question "
                "and what it judges, and in {{ form }} how to write its verdict"
            )
    return text


def said(came: ItemResult[Heard], sheet: Sheet) -> dict[str, Any]:
    """Return what a record keeps of a reply as it came, and of how it was asked for."""
    if came.value is None:
        lacking = dict.fromkeys(("way", "mark", "text", "finish_reason", "call_id"))
        return {**lacking, "failed": came.failed}
    reply, way = came.value.reply, came.value.way
    return {
        "way": way,
        "mark": sheet.mark if way == "tags" else None,
        "text": reply.text,
        "finish_reason": reply.finish_reason,
        "call_id": reply.call_id,
    }


class Work(NamedTuple):
    """A judge's work, ready to be asked.

    Attributes:
        name: the verb.
        version: of its numbers.
        sheets: what is asked, by a key that `records` understands.
        items: how many judgements these are of.
        records: the lines of judgements.jsonl (as JSON reads them), from what came of each call.
        told: the first sentence, about what was judged by whom; and numbers of what was left out.
    """

    name: str
    version: int
    sheets: Mapping[Any, Sheet]
    items: int
    records: Callable[[Mapping[Any, ItemResult[Heard]], str], list[dict[str, Any]]]
    told: Callable[[str], tuple[list[str], dict[str, Any]]]


def judge(settings: LiveSettings, work: Work, inputs: Mapping[str, str]) -> Run:
    """Ask, keep every judgement in judgements.jsonl, and write the tables that `judge recompute` makes of it.

    Raises:
        WorkError: the server went away, or the budget is used up; the same command goes on.
        TunescopeError: no call can succeed (a refused key, an unknown model).
    """
    from tunescope.oracle.connect import inputs_of, model_of
    from tunescope.oracle.run import known_journal

    made: Callable[[str], dict[str, str]] = lambda model: {**inputs, **inputs_of(settings, model)}  # noqa: E731
    if settings.plan:
        known = known_journal(work.name, work.version, replace(settings, out=None), made)
        price = {} if settings.price is None else {"price": settings.price}
        cached_inputs = {} if known is None else known.inputs
        return runs.execute(
            f"{work.name} plan",
            work.version,
            settings,
            {**inputs, **cached_inputs, **price},
            partial(_plan, settings, work, known),
        )
    for sheet in work.sheets.values():
        sheet.render("tags")  # a prompt that shows too little is refused before anything is asked
    model = model_of(settings)
    doing = partial(_work, settings, work, model)
    return runs.execute(work.name, work.version, settings, made(model), doing, "oracle")


def _plan(settings: LiveSettings, work: Work, known: Known | None, folder: RunFolder) -> Outcome:
    from tunescope.oracle.run import replayed

    what = f"for {work.items:,} judgements"
    if known is None:
        way: ReplyFormat = "json" if settings.replies == "json" else "tags"
        return planned(work.name, work.items, work.items, [*work.sheets.values()], settings, way, what=what)
    there = replayed(settings, known.model, known.journal, work.sheets, _ask)
    left = [sheet for key, sheet in work.sheets.items() if there.calls[key] is not None]
    return planned(work.name, work.items, work.items, left, settings, there.way, there.free, known.journal, what)


async def _ask(sheet: Sheet, calls: Calls) -> Heard:
    way = await calls.way()
    asked = sheet.render(way)
    reply = await calls.ask_prompt(asked.prompt, schema=asked.schema)
    return Heard(reply, way, sheet.read(reply.text, reply.finish_reason, way))


def _work(settings: LiveSettings, work: Work, model: str, folder: RunFolder) -> Outcome:
    from tunescope.judgements.formats.tunescope import FORMAT, judgements_of
    from tunescope.judgements.outcome import write_summary
    from tunescope.judgements.summary import SummaryOptions, summarize
    from tunescope.oracle.run import ask_all

    oracle, asked = ask_all(settings, model, folder.path, work.sheets, _ask, "replies")
    records = work.records(asked, model)
    folder.records(Path(JUDGEMENTS).stem, records)
    told, more = work.told(model)
    leading = {
        **more,
        "oracle_model": model,
        "tokens": {"prompt": oracle.budget.prompt_tokens, "completion": oracle.budget.completion_tokens},
        "cost": oracle.budget.cost,
    }
    options = SummaryOptions(seed=settings.seed, draws=settings.draws)
    summary = summarize(judgements_of(records), FORMAT, options, Tags(None))
    found = write_summary(summary, folder, leading, told, [_used(oracle, folder)])
    again = shlex.join(["tunescope", "judge", "recompute", str(folder.path / JUDGEMENTS)])
    sentences = (*found.view.sentences, *_lengths(found.result))
    return Outcome(found.result, replace(found.view, sentences=sentences, next=(*found.view.next, again)))


def _lengths(result: Mapping[str, Any]) -> Iterator[str]:
    winners, losers = result.get("length_of_winners"), result.get("length_of_losers")
    if winners is not None and losers is not None:
        yield f"Answers that won have {winners:,.0f} characters on average, those that lost {losers:,.0f}."


def _used(oracle: Oracle, folder: RunFolder) -> str:
    return f"{oracle.told_used(AS)}; every reply is in the journal, every judgement in {folder.path / JUDGEMENTS}."
