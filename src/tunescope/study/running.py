"""Cells in an order in which each finds what it needs, one after the other or several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.preflight import packages_of
from tunescope.progress import say
from tunescope.runs import Run
from tunescope.settings import EngineSettings
from tunescope.study.cells import LoopEnd, Variant, expand
from tunescope.study.recipe import Recipe
from tunescope.study.work import CellResult, work_on
from tunescope.verbs import VERBS

if TYPE_CHECKING:
    from tunescope.study.on_ray import CellsOnRay
    from tunescope.study.side_by_side import CellProcesses


class CellOutcome(NamedTuple):
    """What became of a cell: its run, or why it failed, or which cells it needs that aren't done."""

    cell: Variant
    run: Run | None
    reason: str = ""
    lacks: tuple[Variant, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether other cells can use it: it has a run without open items."""
        return self.run is not None and not self.run.open


class _Schedule:
    """Which cell may begin next; what became of the others."""

    def __init__(self, recipe: Recipe) -> None:
        self._expansion = expand(recipe)
        self._waiting: dict[str, Variant] = {}
        self._end: LoopEnd | None = None
        self._places: dict[str, int] = {}
        self._outcomes: dict[str, CellOutcome] = {}
        self._advance(None)

    @property
    def outcomes(self) -> list[CellOutcome]:
        """What became of the cells, in the order of the recipe."""
        return [self._outcomes[key] for key in self._places if key in self._outcomes]

    @property
    def folders(self) -> Mapping[str, str]:
        """The run folders that other cells may use, by the cells' keys."""
        return {key: str(each.run.path) for key, each in self._outcomes.items() if each.run is not None}

    def take(self) -> Variant | None:
        """Return the first cell that has all that it needs, which begins now; None where none may begin."""
        for cell in [*self._waiting.values()]:  # a cell comes after all that it needs, so one pass settles them
            needed = [self._outcomes.get(key) for key in cell.needs]
            lacks = tuple(each.cell for each in needed if each is not None and not each.is_done)
            if lacks:
                del self._waiting[cell.key]
                self._settle(CellOutcome(cell, None, lacks=lacks))
            elif None not in needed:
                return self._waiting.pop(cell.key)
        return None

    def finish(self, cell: Variant, result: CellResult) -> None:
        """Take what became of a cell."""
        run = None if result.folder is None else Run(Path(result.folder))
        if run is None:
            say(f"{cell.name} failed: {result.reason}")
        self._settle(CellOutcome(cell, run, result.reason))

    def _settle(self, outcome: CellOutcome) -> None:
        self._outcomes[outcome.cell.key] = outcome
        if self._end is not None and all(cell.key in self._outcomes for cell in self._end.looked_at):
            of = [self._outcomes[cell.key] for cell in self._end.looked_at]
            runs = [each.run for each in of if each.is_done and each.run is not None]
            self._advance(self._end.loop.is_over(runs) if len(runs) == len(of) else None)

    def _advance(self, is_over: bool | None) -> None:
        """Take the cells up to the next end of a loop's round, which waits for what it looks at."""
        self._end = None
        try:
            item = self._expansion.send(is_over) if self._places else next(self._expansion)
            while not isinstance(item, LoopEnd):
                self._places[item.key] = len(self._places)
                self._waiting[item.key] = item
                item = next(self._expansion)
            self._end = item
        except StopIteration:
            pass


def run_cells(recipe: Recipe, engine: EngineSettings, folder: Path) -> list[CellOutcome]:
    """Run every cell whose needs are met, up to `workers` at a time; return what became of each, in order.

    Args:
        recipe: the cells.
        engine: who works on them.
        folder: of the study, which all machines of a cluster must see.
    """
    schedule = _Schedule(recipe)
    if not engine.is_here:
        _run_side_by_side(schedule, _processes(recipe, engine, folder))
        return schedule.outcomes
    while (cell := schedule.take()) is not None:
        say(f"── {cell.name}")
        schedule.finish(cell, work_on(cell.verb, cell.settings_with(schedule.folders)))
    return schedule.outcomes


def _processes(recipe: Recipe, engine: EngineSettings, folder: Path) -> CellProcesses | CellsOnRay:
    """Return what works on cells: processes of this machine, or of a cluster."""
    if engine.address is not None:
        from tunescope.study.on_ray import CellsOnRay

        return CellsOnRay(engine.workers, engine.address, folder)
    from tunescope.study.side_by_side import CellProcesses

    verbs = {step.verb for step in recipe.all_steps()}
    return CellProcesses(engine.workers, sorted({*(VERBS[verb].module for verb in verbs), *packages_of(verbs)}))


def _run_side_by_side(schedule: _Schedule, chosen: CellProcesses | CellsOnRay) -> None:
    with chosen as processes:
        while True:
            while not processes.is_full and (cell := schedule.take()) is not None:
                processes.start(cell, cell.settings_with(schedule.folders))
            if processes.is_idle:
                return
            for cell, result in processes.finished():
                schedule.finish(cell, result)
