"""`repair reflect`: an oracle criticises an instruction and rewrites the pair, then its response (paper 3).

Two stages. The first is shown instruction and response and writes both anew; unless it gives both, both stay: a
new instruction never stands with an old response, nor the other way round. The second is shown the pair that there
is by then and writes the response anew. A row's input stays below the new instruction as it is.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tunescope.errors import SettingsError
from tunescope.oracle.budget import tokens_of
from tunescope.oracle.replies import STATUSES, Status, sections, tag_for, without_preamble
from tunescope.oracle.template import Prompt, prompt
from tunescope.runs import INPUT, Run
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair
from tunescope.views import Cell, Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.ask import Answered, Calls

VERSION = 1
Stage = Literal["instruction", "response"]
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
CRITICISM = 150
"""Tokens of a usual criticism."""
WORDS = ("instruction_words_before", "instruction_words_after", "response_words_before", "response_words_after")


@dataclass(frozen=True, kw_only=True)
class ReflectSettings(RepairSettings):
    """Have an oracle criticise and rewrite instructions, then responses."""

    stage: Literal["both", "instruction", "response"] = "both"
    """What is rewritten: instruction (with a response to it), response, or both, one after the other."""

    criteria: str | None = field(default=None, metadata=INPUT)
    """A YAML file with other criteria: lists under instruction, response or both; the paper's by default."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the instruction's stage instead of ours."""

    response_prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file for the response's stage instead of ours."""

    max_new_tokens: int = 2048
    """Longest reply in tokens."""


def reflect(settings: ReflectSettings) -> Run:
    """Write the recycled rows; `repairs` has each stage's status and the words before and after.

    The criticism is in the lineage's notes, by stage. A row is ok where every stage asked for gave a whole reply,
    partial where one of two did, fallback where none did.

    Raises:
        As `work.repair`.
    """
    return repair(settings, _Reflect(settings))


class _Said(NamedTuple):
    """What a stage's reply says: its status, the new texts where it is ok, the criticism, preambles stripped."""

    status: Status | None
    texts: Mapping[str, str]
    criticism: str
    preambles: int


class _Reflect:
    name = "repair reflect"
    version = VERSION
    columns: Mapping[str, str] = {
        "instruction_status": "string",
        "response_status": "string",
        "preambles": "int64",
        **dict.fromkeys(WORDS, "int64"),
    }

    def __init__(self, settings: ReflectSettings) -> None:
        self.stages = STAGES if settings.stage == "both" else (settings.stage,)
        self.criteria = {**CRITERIA, **_criteria(settings.criteria)}
        files = {"instruction": settings.prompt, "response": settings.response_prompt}
        options = {"instruction": "--prompt", "response": "--response-prompt"}
        self._prompts: dict[Stage, Prompt] = {}
        for stage in self.stages:
            must = WRITES[stage]
            takes = ("system", "instruction", "input", "response", "criteria", REFLECTION, *must)
            self._prompts[stage] = prompt(PROMPTS / f"reflect_{stage}.jinja", files[stage], takes, must, options[stage])

    @property
    def sources(self) -> dict[str, str]:
        found = {}
        for stage, template in self._prompts.items():
            text = f"{template.hash}\n" + "\n".join(self.criteria[stage])
            found[f"{stage}: {template.name}"] = blake2b(text.encode(), digest_size=8).hexdigest()
        return found

    def _ask(self, stage: Stage, pair: Pair) -> tuple[str, tuple[str, ...]]:
        """Return a stage's prompt, and the tags that it asks for, the criticism's first."""
        names = (REFLECTION, *WRITES[stage])
        tags = {name: tag_for(name, *pair.texts().values()) for name in names}
        text = self._prompts[stage].render(**pair.texts(), criteria=self.criteria[stage], **tags)
        return text, tuple(tags.values())

    def asks(self, pair: Pair) -> list[tuple[str, int]]:
        texts = {"instruction": pair.instruction + pair.response, "response": pair.response}
        return [(self._ask(stage, pair)[0], CRITICISM + tokens_of(len(texts[stage]))) for stage in self.stages]

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        from tunescope.oracle.ask import Failed

        now, said, failed = pair, dict[Stage, _Said](), ""
        for stage in self.stages:
            asked, tags = self._ask(stage, now)
            try:
                said[stage] = _read(stage, now, await calls.ask(asked), tags)
            except Failed as error:
                if not said:
                    raise
                failed = f" ({stage}: {error})"
                said[stage] = _Said(None, {}, "", 0)
            texts = said[stage].texts
            now = replace(
                now,
                instruction=texts.get("new_instruction", now.instruction),
                response=texts.get("new_response", now.response),
            )
        return _mended(pair, now, said, failed)

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        from tunescope.stats import mean_t

        def number(m: Mended, name: str) -> float | None:
            value = m.columns.get(name)
            return float(value) if isinstance(value, int) else None

        means = {name: mean_t([number(m, name) for m in mended]) for name in WORDS}
        cells = tuple(
            (name.replace("_", " "), m.value, interval(m.low, m.high, 1), m.n, m.n_missing) for name, m in means.items()
        )
        lengths = Table("Lengths", ("words", "mean", "95 % interval", "n", "n_missing"), cells, "Rows with a reply.")
        by_stage = {stage: Counter(m.columns.get(f"{stage}_status") for m in mended) for stage in self.stages}
        rows_ = tuple((stage, *(counts[status] for status in STATUSES)) for stage, counts in by_stage.items())
        stages = Table("Stages", ("stage", *STATUSES), rows_, "Replies of each stage; what isn't ok changes nothing.")
        leaked = sum(int(number(m, "preambles") or 0) for m in mended)
        sentence = f"Preambles stripped from new texts: {leaked:,}."
        result = {
            "stages": {stage: {s: counts[s] for s in STATUSES} for stage, counts in by_stage.items()},
            "preambles": leaked,
            **{name: m.as_json() for name, m in means.items()},
        }
        return Told(result, (sentence,), (stages, lengths), (f"tunescope check {shlex.quote(str(rows))}",))


def _read(stage: Stage, pair: Pair, reply: Answered, tags: tuple[str, ...]) -> _Said:
    """Read a stage's reply: its new texts where all are there, else none of them."""
    wanted = WRITES[stage]
    found = sections(reply.text, reply.finish_reason, (REFLECTION, *wanted), tags)
    criticism = found.texts.get(REFLECTION, "")
    texts, preambles = dict[str, str](), 0
    for name in wanted:
        text, line = without_preamble(found.texts.get(name, ""))
        if name == "new_instruction" and pair.input:  # it stands below the instruction anyway
            text = text.removesuffix(pair.input).rstrip()
        if text:
            texts[name] = text
            preambles += line != ""
    if len(texts) == len(wanted):
        return _Said("ok", texts, criticism, preambles)
    status = found.status
    if status in ("ok", "partial"):
        status = "partial" if texts else "unparsed"
    return _Said(status, {}, criticism, 0)


def _mended(pair: Pair, now: Pair, said: Mapping[Stage, _Said], failed: str) -> Mended:
    from tunescope.text.words import words

    statuses = {stage: each.status for stage, each in said.items()}
    well = [stage for stage, status in statuses.items() if status == "ok"]
    status: Status = "ok" if len(well) == len(said) else "partial" if well else "fallback"
    columns: dict[str, Cell] = {f"{stage}_status": each for stage, each in statuses.items()}
    columns["preambles"] = sum(each.preambles for each in said.values())
    texts = (pair.instruction, now.instruction, pair.response, now.response)
    columns |= {name: len(words(text)) for name, text in zip(WORDS, texts, strict=True)}
    listed = ", ".join(f"{stage} {each or 'failed'}" for stage, each in statuses.items())
    return Mended(
        status,
        f"{'reflected' if status == 'ok' else status}: {listed}{failed}",
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
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"--criteria {file}: {' '.join(str(error).split())}; {expected}") from error
    if not isinstance(read, dict) or not read or not read.keys() <= set(STAGES):
        raise SettingsError(f"--criteria {file}: found {read!r:.80}; {expected}")
    for stage, items in read.items():
        if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
            raise SettingsError(f"--criteria {file}, {stage}: found {items!r:.80}; {expected}")
    return {stage: tuple(read[stage]) for stage in STAGES if stage in read}
