"""`repair simplify`: an oracle shortens responses to what is asked and true (LIMA-Simple of paper 2)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.oracle.budget import tokens_of
from tunescope.oracle.replies import sections, tag_for, without_preamble
from tunescope.oracle.template import prompt
from tunescope.runs import INPUT, Run
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair
from tunescope.views import Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.ask import Answered, Calls

VERSION = 1
TAG = "short_response"


@dataclass(frozen=True, kw_only=True)
class SimplifySettings(RepairSettings):
    """Have an oracle make every response concise and accurate."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file instead of ours; it may use system, instruction, input, response and tag, and must use tag."""


def simplify(settings: SimplifySettings) -> Run:
    """Write the rows with shorter responses; `repairs` has `words_before` and `words_after` of each.

    A new response that isn't shorter doesn't replace the old one.

    Raises:
        As `work.repair`.
    """
    return repair(settings, _Simplify(settings))


class _Simplify:
    name = "repair simplify"
    version = VERSION
    columns: Mapping[str, str] = {"words_before": "int64", "words_after": "int64", "preamble": "string"}

    def __init__(self, settings: SimplifySettings) -> None:
        takes = ("system", "instruction", "input", "response", "tag")
        self._prompt = prompt(PROMPTS / "simplify.jinja", settings.prompt, takes, must=("tag",))

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def _ask(self, pair: Pair) -> tuple[str, str]:
        tag = tag_for(TAG, *pair.texts().values())
        return self._prompt.render(**pair.texts(), tag=tag), tag

    def asks(self, pair: Pair) -> list[tuple[str, int]]:
        return [(self._ask(pair)[0], tokens_of(len(pair.response)))]

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        asked, tag = self._ask(pair)
        return _read(pair, await calls.ask(asked), tag)

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


def _read(pair: Pair, reply: Answered, tag: str) -> Mended:
    from tunescope.text.words import words

    found = sections(reply.text, reply.finish_reason, (TAG,), (tag,))
    if found.status != "ok":
        return Mended(found.status, f"{found.status}: no whole section <{tag}> in the reply")
    new, preamble = without_preamble(found.texts[TAG])
    before, after = len(words(pair.response)), len(words(new))
    shorter = after < before
    columns = {"words_before": before, "words_after": after if shorter else before, "preamble": preamble or None}
    if not shorter:
        return Mended("ok", f"not shorter: {before} words, {after} in the reply", columns=columns)
    return Mended("ok", f"simplified: {before} words, now {after}", response=new, columns=columns)
