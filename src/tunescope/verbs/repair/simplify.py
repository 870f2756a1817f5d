"""`repair simplify`: an oracle makes responses concise and accurate (LIMA-Simple of the Limitations paper)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.oracle.replies import ParsedReply, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.oracle.usage import estimate_tokens
from tunescope.runs import INPUT, Run
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.records import PROMPTS, RepairResult, RepairSummary
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.verbs.repair.work import repair_job
from tunescope.views import Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 4
_SHORT = "short_response"
_SCHEMA = ReplySchema("simplified", (Field(_SHORT, "the new response alone"),))


@dataclass(frozen=True, kw_only=True)
class SimplifySettings(RepairSettings):
    """Have an oracle make every response concise and accurate."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt. It must show instruction, response and form, and input where rows have one. It
    may use system, and fence, a code that occurs in no text of the row."""


def simplify(settings: SimplifySettings) -> Run:
    """Write the rows with shorter responses; `repairs` has `words_before` and `words_after` of each.

    A new response that isn't shorter doesn't replace the old one.

    Raises:
        As `work.repair_job`.
    """
    return runs.execute(*repair_job(settings, _Simplify(settings)))


class _Simplify:
    name = "repair simplify"
    version = VERSION
    rewrites_instructions = False
    columns: Mapping[str, str] = {"words_before": "int64", "words_after": "int64", "preamble": "string"}

    def __init__(self, settings: SimplifySettings) -> None:
        takes, must = (
            ("system", "instruction", "input", "response", "fence", "form"),
            ("instruction", "response", "form"),
        )
        self._prompt = read_template(PROMPTS / "simplify.jinja", settings.prompt, takes, must, trials=[{}])

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        texts = pair.texts()
        render = partial(self._prompt.render_with, {**texts, "fence": pair.fence})
        return [Request(_SCHEMA, render, tuple(texts.values()), estimate_tokens(pair.response))]

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        (request,) = self.planned_requests(pair)
        return _read_reply(pair, await calls.ask(request))

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        from tunescope.stats import FROM_0, mean

        parsed = [result.columns for result in results if result.columns.get("words_before") is not None]
        missing = [None] * (len(results) - len(parsed))
        before = [_number(columns, "words_before") for columns in parsed]
        after = [_number(columns, "words_after") for columns in parsed]
        difference = [new - old for old, new in zip(before, after, strict=True)]
        means = {
            "words_before": mean([*before, *missing], heavy_tailed=True, bounds=FROM_0),
            "words_after": mean([*after, *missing], heavy_tailed=True, bounds=FROM_0),
            "difference": mean([*difference, *missing], heavy_tailed=True),
        }
        n_preambles = sum(columns["preamble"] is not None for columns in parsed)
        cells = tuple(
            (name.replace("_", " "), m.value, interval(m.low, m.high, 1), m.n, m.n_missing) for name, m in means.items()
        )
        note = f"Words per response before and after ({means['difference'].method}). Rows with a reply that was parsed."
        table = Table("Lengths", ("", "mean", "95 % interval", "n", "n_missing"), cells, note)
        sentence = f"Preambles stripped from replies: {n_preambles:,}."
        result = {name: m.as_json() for name, m in means.items()} | {"preambles": n_preambles}
        return RepairSummary(result, (sentence,), (table,), (f"tunescope check {shlex.quote(str(rows))}",))


def _number(columns: Mapping[str, object], name: str) -> float:
    value = columns[name]
    assert isinstance(value, int)
    return float(value)


def _read_reply(pair: InstructionPair, parsed: ParsedReply) -> RepairResult:
    from tunescope.text.words import words

    if parsed.status != "ok":
        return RepairResult(parsed.status, f"{parsed.status}: {parsed.problem}")
    new, preamble = without_preamble(parsed.texts[_SHORT])
    if pair.fence in new:
        return RepairResult("unparsed", "unparsed: the reply repeats a line of the prompt")
    before, after = len(words(pair.response)), len(words(new))
    shorter = after < before
    columns = {"words_before": before, "words_after": after if shorter else before, "preamble": preamble or None}
    if not shorter:
        return RepairResult("ok", f"not shorter: {before} words, {after} in the reply", columns=columns)
    return RepairResult("ok", f"simplified: {before} words, now {after}", response=new, columns=columns)
