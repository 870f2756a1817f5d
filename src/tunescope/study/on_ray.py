"""Cells on the machines of a Ray cluster, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tunescope.engine.on_ray import CallsOnRay
from tunescope.progress import say
from tunescope.study.cells import Variant
from tunescope.study.work import CellResult, work_on


class CellsOnRay:
    """Up to `workers` cells at work; as a context, it leaves none behind. What they say is said when they end."""

    def __init__(self, workers: int, address: str, folder: Path) -> None:
        """Begin with none; all machines must see `folder`."""
        self.workers = workers
        self._calls = CallsOnRay(address, folder)
        self._at_work: dict[str, Variant] = {}

    def __enter__(self) -> Self:
        """Join the cluster."""
        self._calls.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave it."""
        self._calls.__exit__(*error)

    @property
    def is_idle(self) -> bool:
        """Whether no cell is at work."""
        return not self._at_work

    @property
    def is_full(self) -> bool:
        """Whether no more cells may start."""
        return len(self._at_work) >= self.workers

    def start(self, cell: Variant, settings: dict[str, Any]) -> None:
        """Start a cell with settings in which every folder is known."""
        say(f"── {cell.name}")
        self._at_work[cell.name] = cell
        self._calls.start(cell.name, work_on, cell.verb, settings)

    def finished(self) -> Iterator[tuple[Variant, CellResult]]:
        """Wait until a cell ends; yield it, after what it has said."""
        name, result, said = self._calls.next_done()
        for line in said.splitlines():
            say(f"{name} │ {line}")
        yield self._at_work.pop(name), result
