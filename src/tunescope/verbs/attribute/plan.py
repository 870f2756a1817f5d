"""`--plan`: what indexing, and taking gradients, would take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.compute_plan import plan_items
from tunescope.errors import SettingsError
from tunescope.matching.bm25 import PostingsBuilder
from tunescope.results.attribute import AttributePlan
from tunescope.results.plan import ComputePlan
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.attribute.evidence.gradients import GradientSettings, set_up, sketch_shard
from tunescope.verbs.attribute.evidence.meaning import embed_texts
from tunescope.verbs.attribute.row_index import ROWS_AT_A_TIME, row_text, texts_of
from tunescope.views import View, counted

if TYPE_CHECKING:
    from tunescope.rows import Row, RowSet


@dataclass(frozen=True)
class PlannedParts:
    """What would be made.

    Attributes:
        words: whether the words are still to be indexed.
        embedder: with which rows are still to be embedded; None where they are, or won't be.
        gradients: the models under which gradients are still to be taken.
        candidates: rows whose gradients are taken at most; None for all.
    """

    words: bool
    embedder: str | None
    gradients: Sequence[GradientSettings]
    candidates: int | None = None


def plan_parts(name: str, parts: PlannedParts, rows: RowSet, folder: RunFolder) -> Outcome:
    """Return what all parts would take together, and each alone.

    Raises:
        SettingsError: there are no rows.
    """
    items = list(rows)
    if not items:
        raise SettingsError("found no row to plan with; expected at least one")
    plans: dict[str, Outcome] = {}

    def add(part: str, work: Callable[..., None], setup: Callable[[], Any], largest: int, scale: float = 1.0) -> None:
        plans[part] = plan_items(part, "row", work, items, setup, _n_characters, folder.scratch, largest, scale=scale)

    if parts.words:
        add("words", _index_words, lambda: None, ROWS_AT_A_TIME)
    if parts.embedder is not None:
        from tunescope.models.light_embedder import load_embedder

        add("meaning", _embed, partial(load_embedder, parts.embedder, len(items)), 64)
    scale = min(1.0, (parts.candidates or len(items)) / len(items))
    for settings in parts.gradients:
        add(f"gradients of {settings.model}", sketch_shard, partial(set_up, settings), 16, scale)
    made = {part: ComputePlan.from_json(plan.result) for part, plan in plans.items()}
    result = AttributePlan(
        rows=len(items),
        minutes=sum(plan.minutes for plan in made.values()),
        memory_bytes=max((plan.memory_bytes for plan in made.values()), default=0),
        disk_bytes=sum(plan.disk_bytes for plan in made.values()),
        parts=made,
    )
    return Outcome(result.as_json(), _view(name, result, plans))


def _view(name: str, result: AttributePlan, plans: dict[str, Outcome]) -> View:
    if not plans:
        return View((f"Everything that {name} needs of {counted(result.rows, 'row')} is there already.",))
    first = (
        f"{name} would take about {result.minutes:.1f} minutes for {counted(result.rows, 'row')} with one process, and "
        f"then {counted(len(plans), 'part')} {'is' if len(plans) == 1 else 'are'} kept: other answers to these rows "
        "take seconds."
    )
    return View(
        (first, *(sentence for plan in plans.values() for sentence in plan.view.sentences)),
        tuple(table for plan in plans.values() for table in plan.view.tables),
    )


def _n_characters(row: Row) -> float:
    """Count the characters of a row, and some for its template."""
    return 40.0 + sum(len(text) for _, text in texts_of(row))


def _index_words(_: None, rows: Sequence[Row], folder: Path) -> None:
    builder = PostingsBuilder()
    builder.add([row_text(texts_of(row)) for row in rows])
    builder.write(RunFolder(folder, "probe"))


def _embed(embedder: Any, rows: Sequence[Row], folder: Path) -> None:
    embed_texts(embedder, [row_text(texts_of(row)) for row in rows], folder)
