"""`repair simplify`: an oracle shortens responses to what is asked and true (LIMA-Simple of paper 2)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.oracle.budget import estimate_tokens
from tunescope.oracle.replies import ParsedReply, without_preamble
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.runs import INPUT, Run
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair_job
from tunescope.views import Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls

VERSION = 1
SHORT = "short_response"
FORM = ReplySchema("simplified", (Field(SHORT, "the new response alone"),))


@dataclass(frozen=True, kw_only=True)
class SimplifySettings(RepairSettings):
    """Have an oracle make every response concise and accurate."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file instead of ours; it may use system, instruction, input, response and form, and must use form."""


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
    columns: Mapping[str, str] = {"words_before": "int64", "words_after": "int64", "preamble": "string"}

    def __init__(self, settings: SimplifySettings) -> None:
        takes = ("system", "instruction", "input", "response", "form")
        self._prompt = read_template(PROMPTS / "simplify.jinja", settings.prompt, takes, must=("form",))

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def asks(self, pair: Pair) -> list[Request]:
        texts = pair.texts()
        render = partial(self._prompt.render_with, texts)
        return [Request(FORM, render, tuple(texts.values()), estimate_tokens(len(pair.response)))]

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        (question,) = self.asks(pair)
        return _read(pair, await calls.ask(question))

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        from tunescope.stats import mean_t

        read = [m.columns for m in mended if m.columns.get("words_before") is not None]
        missing = [None] * (len(mended) - len(read))
        means = {
            name: mean_t([*(_number(columns, name) for columns in read), *missing])
            for name in ("words_before", "words_after")
        }
        means["difference"] = mean_t(
            [*(_number(c, "words_after") - _number(c, "words_before") for c in read), *missing]
        )
        leaked = sum(columns["preamble"] is not None for columns in read)
        cells = tuple(
            (name.replace("_", " "), m.value, interval(m.low, m.high, 1), m.n, m.n_missing) for name, m in means.items()
        )
        note = (
            f"Words per response, as it stands before and after ({means['difference'].method}); rows with a reply read."
        )
        table = Table("Lengths", ("", "mean", "95 % interval", "n", "n_missing"), cells, note)
        sentence = f"Preambles stripped from replies: {leaked:,}."
        result = {name: m.as_json() for name, m in means.items()} | {"preambles": leaked}
        return Told(result, (sentence,), (table,), (f"tunescope check {shlex.quote(str(rows))}",))


def _number(columns: Mapping[str, object], name: str) -> float:
    value = columns[name]
    assert isinstance(value, int)
    return float(value)


def _read(pair: Pair, parsed: ParsedReply) -> Mended:
    from tunescope.text.words import words

    if parsed.status != "ok":
        return Mended(parsed.status, f"{parsed.status}: {parsed.problem}")
    new, preamble = without_preamble(parsed.texts[SHORT])
    before, after = len(words(pair.response)), len(words(new))
    shorter = after < before
    columns = {"words_before": before, "words_after": after if shorter else before, "preamble": preamble or None}
    if not shorter:
        return Mended("ok", f"not shorter: {before} words, {after} in the reply", columns=columns)
    return Mended("ok", f"simplified: {before} words, now {after}", response=new, columns=columns)
