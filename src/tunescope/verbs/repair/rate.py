"""`repair rate`: an oracle grades one aspect of each response, as AlpaGasus does (Chen et al. 2023)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.oracle.reply_schema import Field, ReplySchema
from tunescope.oracle.request import Request
from tunescope.oracle.template import read_template
from tunescope.runs import INPUT, Run
from tunescope.settings import as_cli_args, at_least
from tunescope.verbs.repair.instruction_pair import InstructionPair
from tunescope.verbs.repair.records import PROMPTS, RepairResult, RepairSummary
from tunescope.verbs.repair.settings import RepairSettings
from tunescope.verbs.repair.work import repair_job
from tunescope.views import Table, interval

if TYPE_CHECKING:
    from tunescope.oracle.calls import Calls
    from tunescope.stats import Estimate

VERSION = 2
_EXPECTED_TOKENS = 60
"""Length of a usual reply: the grade and two sentences."""
_SCORE = "score"


@dataclass(frozen=True, kw_only=True)
class RateSettings(RepairSettings):
    """Have an oracle grade one aspect of every response; no row is changed."""

    aspect: str = "accuracy"
    """The aspect to grade: accuracy, helpfulness, or any other word or phrase."""

    scale: int = field(default=5, metadata=at_least(1))
    """The best grade. The worst is 0."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Maximum length of a reply in tokens."""

    prompt: str | None = field(default=None, metadata=INPUT)
    """A Jinja file with your own prompt. It must show instruction, response and form, and input where rows have one. It
    may use system, aspect, scale, and fence, a code that occurs in no text of the row."""


def rate(settings: RateSettings) -> Run:
    """Write the table `repairs` with a `rating` per row. A missing rating is null, with a reason.

    `select --from RUN --where 'rating >= 4.5'` keeps the best.

    Raises:
        As `work.repair_job`.
    """
    return runs.execute(*repair_job(settings, _Rate(settings)))


class _Rate:
    name = "repair rate"
    version = VERSION
    rewrites_instructions = False
    columns: Mapping[str, str] = {"rating": "double", "aspect": "string"}

    def __init__(self, settings: RateSettings) -> None:
        self.settings = settings
        takes = ("system", "instruction", "input", "response", "aspect", "scale", "fence", "form")
        must, trials = ("instruction", "response", "form"), [{"scale": settings.scale}]
        self._prompt = read_template(PROMPTS / "rate.jinja", settings.prompt, takes, must, trials=trials)
        description = f"your grade for the {settings.aspect} of the response"
        reason = Field("reason", "your reason for it in one or two sentences", optional=True)
        self._schema = ReplySchema(
            "rating", (Field(_SCORE, description, maximum=settings.scale, label=settings.aspect), reason)
        )

    @property
    def sources(self) -> dict[str, str]:
        return {self._prompt.name: self._prompt.hash}

    def planned_requests(self, pair: InstructionPair) -> list[Request]:
        texts = pair.texts()
        render = partial(
            self._prompt.render_with, texts | {"aspect": self.settings.aspect, "scale": self.settings.scale}
        )
        return [Request(self._schema, render, tuple(texts.values()), _EXPECTED_TOKENS)]

    async def repair_row(self, pair: InstructionPair, calls: Calls) -> RepairResult:
        (request,) = self.planned_requests(pair)
        settings, parsed = self.settings, await calls.ask(request)
        columns = {"aspect": settings.aspect}
        rating = parsed.numbers.get(_SCORE)
        if rating is None:
            return RepairResult(parsed.status, f"{parsed.status}: {parsed.problem}", columns=columns)
        reason = f"rated: {rating:g} of {settings.scale} for {settings.aspect}"
        return RepairResult("ok", reason, columns={"rating": rating, **columns}, notes={"reply": parsed.text})

    def summarize(self, results: Sequence[RepairResult], run: Path, rows: Path) -> RepairSummary:
        from tunescope import stats

        settings = self.settings
        cells = [result.columns.get("rating") for result in results]
        ratings = [float(cell) for cell in cells if cell is not None]
        n_missing = len(cells) - len(ratings)
        mean = stats.mean([*ratings, *[None] * n_missing], bounds=(0, settings.scale))
        n_unparsed = sum(result.status == "unparsed" for result in results)
        counts = tuple((f"{rating:g}", ratings.count(rating)) for rating in sorted(set(ratings), reverse=True))
        sentence = (
            f"{settings.aspect}: mean {mean.value:.2f} of {settings.scale}{_interval(mean)} over "
            if mean.value is not None
            else f"{settings.aspect}: no rating in "
        )
        sentence += f"n = {len(ratings):,} rows. {n_missing:,} rows have no rating ({n_unparsed:,} unparsed)."
        tables = (Table("Ratings", ("rating", "rows"), counts, f"{settings.aspect}, 0 to {settings.scale}."),)
        result = {"rating": mean.as_json(), "n_unparsed": n_unparsed, "aspect": settings.aspect}
        best = shlex.join(["--from", str(run), "--where", f"rating >= {0.9 * settings.scale:g}"])
        source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
        return RepairSummary(result, (sentence,), tables if counts else (), (f"tunescope select {source} {best}",))


def _interval(mean: Estimate) -> str:
    return "" if mean.low is None else f" (95 % interval {interval(mean.low, mean.high)})"
