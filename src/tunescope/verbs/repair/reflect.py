"""`repair reflect`: an oracle criticises an instruction and rewrites the pair, then its response (paper 3).

Two stages. The first is shown instruction and response and writes both anew; unless it gives both, both stay: a
new instruction never stands with an old response, nor the other way round. The second is shown the pair that there
is by then and writes the response anew. A row's input stays below the new instruction as it is.

With `--select` a model, the student, decides after each stage whether its texts stay (`student`).
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tunescope import runs
from tunescope.errors import ItemFailed, SettingsError
from tunescope.models.embedded import DEFAULT
from tunescope.models.settings import ModelSettings
from tunescope.oracle.budget import estimate_tokens
from tunescope.oracle.replies import STATUSES, ParsedReply, Status, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import PromptTemplate, read_template
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least
from tunescope.verbs.repair.lengths import WORDS, count_words, tell_words
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.student import COLUMNS, Decision, Stage, Student, columns_of, in_words, with_decisions
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair_job
from tunescope.views import Cell, Table

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 1
STAGES: tuple[Stage, ...] = ("instruction", "response")
CRITERIA: Mapping[Stage, tuple[str, ...]] = {
    "instruction": (
        "the complexity of the topic",
        "the level of detail required for the response",
        "the knowledge required for the response",
        "the ambiguity of the instruction",
        "whether logical reasoning or problem solving is involved",
    ),
    "response": ("helpfulness", "relevance", "accuracy", "level of details"),
}
"""Paper 3, section 3: what an instruction, and what a response, is criticised for."""
WRITES: Mapping[Stage, tuple[str, ...]] = {
    "instruction": ("new_instruction", "new_response"),
    "response": ("new_response",),
}
REFLECTION = "reflection"
FORMS: Mapping[Stage, ReplySchema] = {
    "instruction": ReplySchema(
        "reflected_instruction",
        (
            Field(REFLECTION, "your criticism", optional=True),
            Field("new_instruction", "the new instruction alone"),
            Field("new_response", "the response to it alone"),
        ),
    ),
    "response": ReplySchema(
        "reflected_response",
        (Field(REFLECTION, "your criticism", optional=True), Field("new_response", "the new response alone")),
    ),
}
CRITICISM = 150
"""Tokens of a usual criticism."""


@dataclass(frozen=True, kw_only=True)
class ReflectSettings(RepairSettings, ModelSettings):
    """Have an oracle criticise and rewrite instructions, then responses."""

    stage: Literal["both", "instruction", "response"] = "both"
    """What is rewritten: instruction (with a response to it), response, or both, one after the other."""

    criteria: str | None = field(default=None, metadata=INPUT)
    """A YAML file with other criteria: lists under instruction, response or both; the paper's by default."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the instruction's stage instead of ours; it must use form."""

    response_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the response's stage instead of ours; it must use form."""

    max_new_tokens: int = field(default=2048, metadata=at_least(1))
    """Longest reply in tokens."""

    select: bool = field(default=False, metadata=INPUT)
    """Let a student decide: a new instruction stays where its IFD rises, a new response where its r-IFD falls."""

    model: str = field(default=DEFAULT, metadata=INPUT)
    """The student: an embedded name, a folder (of a model, a PEFT adapter or a tune run), a GGUF file or a hub id."""

    template: str | None = field(default=None, metadata=INPUT)
    """The student's chat template: alpaca, vicuna, chatml or a Jinja file; the model's own by default."""

    template_arg: tuple[str, ...] = field(default=(), metadata=INPUT)
    """What the student's chat template is told, as NAME=VALUE."""


def reflect(settings: ReflectSettings) -> Run:
    """Write the recycled rows; `repairs` has each stage's status and the words before and after.

    The criticism is in the lineage's notes, by stage. A row is ok where every stage asked for gave a whole reply,
    partial where one of two did, fallback where none did. With `select` the table also has the student's scores of
    the old and the new pair (ratios of perplexities), whether the new one stayed, and why it wasn't scored.

    Raises:
        As `work.repair_job`.
        SettingsError: an option of the student's without `select`, or a model without a chat template.
        MissingPackageError: `select` without torch or transformers.
    """
    given = [f.name for f in fields(ModelSettings) if getattr(settings, f.name) != f.default]
    if given and not settings.select:
        option = f"--{given[0].replace('_', '-')}"
        raise SettingsError(f"{option} without --select: nothing is scored by a model; add --select or leave it out")
    student = Student(settings) if settings.select else None
    return runs.execute(*repair_job(settings, _Reflect(settings, student), student))


class _Said(NamedTuple):
    """What a stage's reply says: its status, the new texts where it is ok, the criticism, preambles stripped."""

    status: Status | None
    texts: Mapping[str, str]
    criticism: str
    preambles: int


class _Reflect:
    name = "repair reflect"
    version = VERSION

    def __init__(self, settings: ReflectSettings, student: Student | None) -> None:
        self.student = student
        self.columns: Mapping[str, str] = {
            "instruction_status": "string",
            "response_status": "string",
            "preambles": "int64",
            **dict.fromkeys(WORDS, "int64"),
            **(COLUMNS if student else {}),
        }
        self.stages = STAGES if settings.stage == "both" else (settings.stage,)
        self.criteria = {**CRITERIA, **_criteria(settings.criteria)}
        files = {"instruction": settings.prompt, "response": settings.response_prompt}
        options = {"instruction": "--prompt", "response": "--response-prompt"}
        for stage in STAGES:
            if stage not in self.stages and files[stage] is not None:
                raise SettingsError(
                    f"{options[stage]} {files[stage]} is for the {stage}'s stage; with --stage {settings.stage} leave "
                    "it out"
                )
        self._prompts: dict[Stage, PromptTemplate] = {}
        for stage in self.stages:
            takes, must = ("system", "instruction", "input", "response", "criteria", "form"), ("form",)
            self._prompts[stage] = read_template(
                PROMPTS / f"reflect_{stage}.jinja", files[stage], takes, must, options[stage]
            )

    @property
    def sources(self) -> dict[str, str]:
        found = {}
        for stage, template in self._prompts.items():
            text = f"{template.hash}\n" + "\n".join(self.criteria[stage])
            found[f"{stage}: {template.name}"] = blake2b(text.encode(), digest_size=8).hexdigest()
        return found

    def _ask(self, stage: Stage, pair: Pair, expected: int = 0) -> Request:
        texts = pair.texts()
        render = partial(self._prompts[stage].render_with, {**texts, "criteria": self.criteria[stage]})
        return Request(FORMS[stage], render, tuple(texts.values()), expected)

    def asks(self, pair: Pair) -> list[Request]:
        texts = {"instruction": pair.instruction + pair.response, "response": pair.response}
        return [self._ask(stage, pair, CRITICISM + estimate_tokens(len(texts[stage]))) for stage in self.stages]

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        now, said, failed = pair, dict[Stage, _Said](), ""
        decided: dict[Stage, Decision] = {}
        for stage in self.stages:
            try:
                said[stage] = _read(stage, now, await calls.ask(self._ask(stage, now)))
            except ItemFailed as error:
                if not said:
                    raise
                failed = f" ({stage}: {error})"
                said[stage] = _Said(None, {}, "", 0)
            texts = said[stage].texts
            new = replace(
                now,
                instruction=texts.get("new_instruction", now.instruction),
                response=texts.get("new_response", now.response),
            )
            if self.student is not None and texts:
                decided[stage] = await calls.clock.off_the_clock(self.student.decide(stage, now, new))
            if stage not in decided or decided[stage].selected:
                now = new
        return _mended(pair, now, said, decided, failed)

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        means, lengths = tell_words(mended)
        by_stage = {stage: Counter(m.columns.get(f"{stage}_status") for m in mended) for stage in self.stages}
        rows_ = tuple((stage, *(counts[status] for status in STATUSES)) for stage, counts in by_stage.items())
        stages = Table("Stages", ("stage", *STATUSES), rows_, "Replies of each stage; what isn't ok changes nothing.")
        leaked = sum(int(m.columns.get("preambles") or 0) for m in mended)
        sentence = f"Preambles stripped from new texts: {leaked:,}."
        result = {
            "stages": {stage: {s: counts[s] for s in STATUSES} for stage, counts in by_stage.items()},
            "preambles": leaked,
            **means,
        }
        told = Told(result, (sentence,), (stages, lengths), (f"tunescope check {shlex.quote(str(rows))}",))
        return told if self.student is None else with_decisions(told, self.student, self.stages, mended)


def _read(stage: Stage, pair: Pair, parsed: ParsedReply) -> _Said:
    """Read a stage's reply: its new texts where all are there, else none of them."""
    wanted = WRITES[stage]
    criticism = parsed.texts.get(REFLECTION, "")
    texts, preambles = dict[str, str](), 0
    for name in wanted:
        text, line = without_preamble(parsed.texts.get(name, ""))
        if name == "new_instruction":
            text = pair.without_input(text)
        if text:
            texts[name] = text
            preambles += line != ""
    if len(texts) == len(wanted):
        return _Said("ok", texts, criticism, preambles)
    status = parsed.status
    if status in ("ok", "partial"):  # an instruction that was nothing but the input
        status = "partial" if texts else "unparsed"
    return _Said(status, {}, criticism, 0)


def _mended(
    pair: Pair, now: Pair, said: Mapping[Stage, _Said], decided: Mapping[Stage, Decision], failed: str
) -> Mended:
    statuses = {stage: each.status for stage, each in said.items()}
    well = [stage for stage, status in statuses.items() if status == "ok"]
    status: Status = "ok" if len(well) == len(said) else "partial" if well else "fallback"
    columns: dict[str, Cell] = {f"{stage}_status": each for stage, each in statuses.items()}
    columns["preambles"] = sum(each.preambles for each in said.values())
    columns |= count_words(pair, now) | columns_of(decided)
    listed = ", ".join(f"{stage} {each or 'failed'}{in_words(stage, decided)}" for stage, each in statuses.items())
    head: str = "reflected" if status == "ok" else status
    if decided and not any(decision.selected for decision in decided.values()):
        head = "turned down" if any(decision.selected is False for decision in decided.values()) else "not scored"
    return Mended(
        status,
        f"{head}: {listed}{failed}",
        now.instruction,
        now.response,
        columns,
        {stage: each.criticism for stage, each in said.items() if each.criticism},
    )


def _criteria(file: str | None) -> dict[Stage, tuple[str, ...]]:
    """Read the user's criteria; raises `SettingsError`."""
    import yaml

    if file is None:
        return {}
    expected = "expected lists of texts under instruction, response or both"
    try:
        read = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f"--criteria {file}: {' '.join(str(error).split())}; {expected}") from error
    if not isinstance(read, dict) or not read or not read.keys() <= set(STAGES):
        raise SettingsError(f"--criteria {file}: found {read!r:.80}; {expected}")
    for stage, items in read.items():
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise SettingsError(f"--criteria {file}, {stage}: found {items!r:.80}; {expected}")
    return {stage: tuple(read[stage]) for stage in STAGES if stage in read}
