"""`repair rate`: an oracle grades one aspect of each response, as AlpaGasus does (Chen et al. 2023)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.errors import SettingsError
from tunescope.oracle.replies import DECLINES
from tunescope.oracle.template import prompt
from tunescope.runs import INPUT, Run
from tunescope.verbs.repair.pairs import Pair
from tunescope.verbs.repair.work import PROMPTS, Mended, RepairSettings, Told, repair
from tunescope.views import Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.ask import Answered, Calls

VERSION = 1
EXPECTED = 60
"""Tokens of a usual reply: the grade and two sentences."""
NUMBER = r"\d{1,4}(?:\.\d{1,4})?"


@dataclass(frozen=True, kw_only=True)
class RateSettings(RepairSettings):
    """Have an oracle grade one aspect of every response; no row is changed."""

    aspect: str = "accuracy"
    """What is graded: accuracy, helpfulness, or any other word or phrase."""

    scale: int = 5
    """The best grade; the worst is 0."""

    max_new_tokens: int = 256
    """Longest reply in tokens."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file instead of ours; it may use system, instruction, input, response, aspect and scale."""


def rate(settings: RateSettings) -> Run:
    """Write the table `repairs` with a `rating` per row, null with a reason where there is none.

    `select --from RUN --where 'rating >= 4.5'` keeps the best.

    Raises:
        As `work.repair`.
    """
    if settings.scale < 1:
        raise SettingsError(f"--scale {settings.scale}: expected at least 1")
    return repair(settings, _Rate(settings))


def rating_of(text: str, aspect: str = "", scale: float = 5) -> float | None:
    """Read a grade: a line that is "Score: 4.5", "4.5/5", "**4.5**" or the bare number; else None.

    None too where two lines give different grades, and for a grade that isn't on the scale.
    """
    label = rf"[*_]*(?:(?:overall |final )?(?:score|rating|grade){'|' + re.escape(aspect) if aspect else ''})\b"
    label += rf"(?: (?:for|of)(?: the)? {re.escape(aspect)})?" if aspect else ""
    line = re.compile(
        rf"(?:{label}[*_]*\s*[:=]\s*)?[*_]*\s*(?P<grade>{NUMBER})\s*(?:(?:/|out of)\s*(?P<best>{NUMBER}))?[*_]*",
        re.IGNORECASE,
    )
    grades = {
        float(found["grade"])
        for found in map(line.fullmatch, map(str.strip, text.splitlines()))
        if found is not None
        for best in [found["best"]]
        if (best is None or float(best) == scale) and float(found["grade"]) <= scale
    }
    return grades.pop() if len(grades) == 1 else None


class _Rate:
    name = "repair rate"
    version = VERSION
    columns: Mapping[str, str] = {"rating": "double", "aspect": "string"}

    def __init__(self, settings: RateSettings) -> None:
        self.settings = settings
        takes = ("system", "instruction", "input", "response", "aspect", "scale")
        self._prompt = prompt(PROMPTS / "rate.jinja", settings.prompt, takes)

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def _ask(self, pair: Pair) -> str:
        return self._prompt.render(**pair.texts(), aspect=self.settings.aspect, scale=self.settings.scale)

    def asks(self, pair: Pair) -> list[tuple[str, int]]:
        return [(self._ask(pair), EXPECTED)]

    async def mend(self, pair: Pair, calls: Calls) -> Mended:
        return self._read(await calls.ask(self._ask(pair)))

    def _read(self, reply: Answered) -> Mended:
        settings = self.settings
        columns = {"aspect": settings.aspect}
        lines = reply.text.splitlines()
        whole = lines[:-1] if reply.finish_reason == "length" else lines  # the last was cut: 4 may have been 4.5
        rating = rating_of("\n".join(whole), settings.aspect, settings.scale)
        if reply.finish_reason == "content_filter":
            return Mended("refused", "refused: the server's content filter", columns=columns)
        if rating is not None:
            reason = f"rated: {rating:g} of {settings.scale} for {settings.aspect}"
            return Mended("ok", reason, columns={"rating": rating, **columns}, notes={"reply": reply.text})
        if reply.finish_reason == "length":
            return Mended("truncated", "truncated: the reply ends before its grade", columns=columns)
        if DECLINES.match(reply.text):
            return Mended("refused", f"refused: {_start(reply.text)}", columns=columns)
        return Mended("unparsed", f"unparsed: no one grade in {_start(reply.text)}", columns=columns)

    def told(self, mended: Sequence[Mended], run: Path, rows: Path) -> Told:
        from tunescope.stats import mean_t

        settings = self.settings
        found = [m.columns.get("rating") for m in mended]
        ratings = [float(value) if value is not None else None for value in found]
        mean = mean_t(ratings)
        known = [value for value in ratings if value is not None]
        unparsed = sum(m.status == "unparsed" for m in mended)
        grades = sorted(set(known), reverse=True)
        counts = tuple((f"{grade:g}", known.count(grade)) for grade in grades)
        sentence = (
            f"{settings.aspect}: mean {mean.value:.2f} {interval(mean.low, mean.high)} of {settings.scale} over "
            if mean.value is not None
            else f"{settings.aspect}: no rating in "
        )
        sentence += (
            f"n = {len(known):,} rows; {len(mended) - len(known):,} without a rating, {unparsed:,} of them unparsed."
        )
        tables = (Table("Ratings", ("rating", "rows"), counts, f"{settings.aspect}, 0 to {settings.scale}."),)
        told = {"rating": mean.as_json(), "n_unparsed": unparsed, "aspect": settings.aspect}
        typed = shlex.join([*settings.rows, "--from", str(run), "--where", f"rating >= {0.9 * settings.scale:g}"])
        return Told(told, (sentence,), tables if counts else (), (f"tunescope select {typed}",))


def _start(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 80 else flat[:79] + "…")
