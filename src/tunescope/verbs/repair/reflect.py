"""`repair reflect`: an oracle criticises and rewrites an instruction, then its response (the Reflection-Tuning paper).

There are two stages. In the first the oracle sees instruction and response and rewrites both. Unless its reply has
both, both stay: a new instruction never stands with an old response, nor the other way round. In the second the oracle
sees the pair as it is by then and rewrites the response. A row's input stays unchanged below the new instruction.

With `--select` a model, the student, decides after each stage whether its texts are kept (`student`).
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
from tunescope.oracle.api import refuse_secrets
from tunescope.oracle.replies import STATUSES, ParsedReply, Status, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import PromptTemplate, read_template
from tunescope.oracle.usage import estimate_tokens
from tunescope.runs import INPUT, Run
from tunescope.settings import at_least
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.records import PROMPTS, RepairResult, RepairSummary
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.verbs.repair.student import (
    COLUMNS,
    Decision,
    Stage,
    Student,
    add_decisions,
    decision_columns,
    describe_decision,
)
from tunescope.verbs.repair.word_counts import WORD_COLUMNS, count_words, summarize_word_counts
from tunescope.verbs.repair.work import repair_job
from tunescope.views import Cell, Table

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 4
_STAGES: tuple[Stage, ...] = ("instruction", "response")
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
"""What an instruction, and what a response, is criticised for (the Reflection-Tuning paper, section 3)."""
_WRITES: Mapping[Stage, tuple[str, ...]] = {
    "instruction": ("new_instruction", "new_response"),
    "response": ("new_response",),
}
_SHOWS: Mapping[Stage, tuple[str, ...]] = {"instruction": ("instruction",), "response": ("instruction", "response")}
"""The row's texts that a stage's prompt must show."""
_REFLECTION = "reflection"
_SCHEMAS: Mapping[Stage, ReplySchema] = {
    "instruction": ReplySchema(
        "reflected_instruction",
        (
            Field(_REFLECTION, "your criticism", optional=True),
            Field("new_instruction", "the new instruction alone", is_request=True),
            Field("new_response", "the response to it alone"),
        ),
    ),
    "response": ReplySchema(
        "reflected_response",
        (Field(_REFLECTION, "your criticism", optional=True), Field("new_response", "the new response alone")),
    ),
}
_CRITICISM_TOKENS = 150
"""Length of a usual criticism."""


@dataclass(frozen=True, kw_only=True)
class ReflectSettings(RepairSettings, ModelSettings):
    """Have an oracle criticise and rewrite instructions, then responses."""

    stage: Literal["both", "instruction", "response"] = "both"
    """What to rewrite: instruction (with a response to it), response, or both, one after the other."""

    criteria: str | None = field(default=None, metadata=INPUT)
    """A YAML file with other criteria: lists under instruction, response or both. By default those of the
    Reflection-Tuning paper."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt for the instruction stage. It must show instruction and form, and input where
    rows have one. It may use system, response, criteria, and fence, a code that occurs in no text of the row."""

    response_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt for the response stage. It must show instruction, response and form, and input
    where rows have one. It may use system, criteria and fence."""

    max_new_tokens: int = field(default=2048, metadata=at_least(1))
    """Maximum length of a reply in tokens."""

    select: bool = field(default=False, metadata=INPUT)
    """Let a student (the model being trained) decide: keep a new instruction if its IFD rises, and a new response if
    its r-IFD falls."""

    model: str = field(default=DEFAULT, metadata={**INPUT, "refuse": refuse_secrets})
    """The student: an embedded model's name, a folder (of a model, a PEFT adapter or a tune run), a GGUF file or a hub
    id."""

    template: str | None = field(default=None, metadata=INPUT)
    """The student's chat template: alpaca, vicuna, chatml or a Jinja file; the model's own by default."""

    template_arg: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Variables for the student's chat template, as NAME=VALUE."""


def reflect(settings: ReflectSettings) -> Run:
    """Write the recycled rows; `repairs` has each stage's status and the words before and after.

    The lineage's notes hold the criticism of each stage. A row is ok if every stage gave a complete reply, partial
    if one of two did, fallback if none did. With `select` the table also has the student's scores of the old and
    the new pair (ratios of perplexities), whether the new one was kept, and why it wasn't scored.

    Raises:
        As `work.repair_job`.
        SettingsError: an option of the student without `select`, or a model without a chat template.
        MissingPackageError: `select` without torch or transformers.
    """
    student_options = [f.name for f in fields(ModelSettings) if getattr(settings, f.name) != f.default]
    if student_options and not settings.select:
        option = f"--{student_options[0].replace('_', '-')}"
        raise SettingsError(f"{option} without --select: no model scores anything; add --select or leave it out")
    student = Student(settings) if settings.select else None
    return runs.execute(*repair_job(settings, _Reflect(settings, student), student))


class _StageReply(NamedTuple):
    """A stage's parsed reply: its status, the new texts if it is ok, the criticism, the number of preambles stripped.

    The status is None where there is no reply.
    """

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
            **dict.fromkeys(WORD_COLUMNS, "int64"),
            **(COLUMNS if student else {}),
        }
        self.stages = _STAGES if settings.stage == "both" else (settings.stage,)
        self.rewrites_instructions = "instruction" in self.stages
        self.criteria = {**CRITERIA, **_criteria(settings.criteria)}
        files = {"instruction": settings.prompt, "response": settings.response_prompt}
        options = {"instruction": "--prompt", "response": "--response-prompt"}
        for stage in _STAGES:
            if stage not in self.stages and files[stage] is not None:
                raise SettingsError(
                    f"{options[stage]} {files[stage]} is for the {stage} stage; leave it out with --stage "
                    f"{settings.stage}"
                )
        self._prompts: dict[Stage, PromptTemplate] = {}
        for stage in self.stages:
            takes = ("system", "instruction", "input", "response", "criteria", "fence", "form")
            must, trials = (*_SHOWS[stage], "form"), [{"criteria": self.criteria[stage]}]
            self._prompts[stage] = read_template(
                PROMPTS / f"reflect_{stage}.jinja", files[stage], takes, must, options[stage], trials
            )

    @property
    def sources(self) -> dict[str, str]:
        sources = {}
        for stage, template in self._prompts.items():
            text = f"{template.hash}\n" + "\n".join(self.criteria[stage])
            sources[f"{stage}: {template.name}"] = blake2b(text.encode(), digest_size=8).hexdigest()
        return sources

    def _request(self, stage: Stage, pair: InstructionPair, expected: int = 0) -> Request:
        texts = pair.texts()
        render = partial(
            self._prompts[stage].render_with, {**texts, "fence": pair.fence, "criteria": self.criteria[stage]}
        )
        return Request(_SCHEMAS[stage], render, tuple(texts.values()), expected)

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        texts = {"instruction": pair.instruction + pair.response, "response": pair.response}
        return [self._request(stage, pair, _CRITICISM_TOKENS + estimate_tokens(texts[stage])) for stage in self.stages]

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        current, failure = pair, ""
        replies: dict[Stage, _StageReply] = {}
        decisions: dict[Stage, Decision] = {}
        for stage in self.stages:
            try:
                replies[stage] = _read_reply(stage, current, await calls.ask(self._request(stage, current)))
            except ItemFailed as error:
                if not replies:
                    raise
                failure = f" ({stage}: {error})"
                replies[stage] = _StageReply(None, {}, "", 0)
            texts = replies[stage].texts
            new = replace(
                current,
                instruction=texts.get("new_instruction", current.instruction),
                response=texts.get("new_response", current.response),
            )
            if self.student is not None and texts:
                decisions[stage] = await calls.clock.off_the_clock(self.student.decide(stage, current, new))
            if stage not in decisions or decisions[stage].selected:
                current = new
        return _make_result(pair, current, replies, decisions, failure)

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        means, lengths = summarize_word_counts(results)
        by_stage = {stage: Counter(each.columns.get(f"{stage}_status") for each in results) for stage in self.stages}
        cells = tuple((stage, *(counts[status] for status in STATUSES)) for stage, counts in by_stage.items())
        stages = Table(
            "Stages", ("stage", *STATUSES), cells, "Replies of each stage. A reply that isn't ok changes nothing."
        )
        n_preambles = sum(int(each.columns.get("preambles") or 0) for each in results)
        sentence = f"Preambles stripped from new texts: {n_preambles:,}."
        result = {
            "stages": {stage: {s: counts[s] for s in STATUSES} for stage, counts in by_stage.items()},
            "preambles": n_preambles,
            **means,
        }
        summary = RepairSummary(result, (sentence,), (stages, lengths), (f"tunescope check {shlex.quote(str(rows))}",))
        return summary if self.student is None else add_decisions(summary, self.student, self.stages, results)


def _read_reply(stage: Stage, pair: InstructionPair, parsed: ParsedReply) -> _StageReply:
    """Read a stage's reply: its new texts if all of them are there, else none."""
    names = _WRITES[stage]
    criticism = parsed.texts.get(_REFLECTION, "")
    texts, preambles, fence = dict[str, str](), 0, pair.fence
    for name in names:
        text, line = without_preamble(parsed.texts.get(name, ""))
        if name == "new_instruction":
            text = pair.without_input(text)
        if text and fence not in text:
            texts[name] = text
            preambles += line != ""
    if len(texts) == len(names):
        return _StageReply("ok", texts, criticism, preambles)
    status = parsed.status
    if status in ("ok", "partial"):  # an instruction that was nothing but the input, or lines of the prompt
        status = "partial" if texts else "unparsed"
    return _StageReply(status, {}, criticism, 0)


def _make_result(
    pair: InstructionPair,
    current: InstructionPair,
    replies: Mapping[Stage, _StageReply],
    decisions: Mapping[Stage, Decision],
    failure: str,
) -> RepairResult:
    statuses = {stage: each.status for stage, each in replies.items()}
    complete = [stage for stage, status in statuses.items() if status == "ok"]
    status: Status = "ok" if len(complete) == len(replies) else "partial" if complete else "fallback"
    columns: dict[str, Cell] = {f"{stage}_status": each for stage, each in statuses.items()}
    columns["preambles"] = sum(each.preambles for each in replies.values())
    columns |= count_words(pair, current) | decision_columns(decisions)
    listed = ", ".join(
        f"{stage} {each or 'failed'}{describe_decision(stage, decisions)}" for stage, each in statuses.items()
    )
    head: str = "reflected" if status == "ok" else status
    if decisions and not any(decision.selected for decision in decisions.values()):
        rejected = any(decision.selected is False for decision in decisions.values())
        head = "rejected by the student" if rejected else "not scored"
    return RepairResult(
        status,
        f"{head}: {listed}{failure}",
        current.instruction,
        current.response,
        columns,
        {stage: each.criticism for stage, each in replies.items() if each.criticism},
    )


def _criteria(file: str | None) -> dict[Stage, tuple[str, ...]]:
    """Read the user's criteria, none without a file; raises `SettingsError`."""
    from yaml import YAMLError

    from tunescope.yaml_core import read_yaml

    if file is None:
        return {}
    expected = "expected lists of texts under instruction, response or both"
    try:
        content = read_yaml(Path(file).read_text("utf-8"))
    except (OSError, ValueError, RecursionError, YAMLError) as error:
        raise SettingsError(f"--criteria {file}: {' '.join(str(error).split())}; {expected}") from error
    if not isinstance(content, dict) or not content or not content.keys() <= set(_STAGES):
        raise SettingsError(f"--criteria {file}: found {content!r:.80}; {expected}")
    for stage, items in content.items():
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise SettingsError(f"--criteria {file}, {stage}: found {items!r:.80}; {expected}")
    return {stage: tuple(content[stage]) for stage in _STAGES if stage in content}
