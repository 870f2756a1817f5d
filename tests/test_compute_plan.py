"""`--plan` of work that is done here: what a probe draws, what it says of the whole, and that nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunescope.compute_plan import Batch, Probe, outcome, plan_items, probe
from tunescope.errors import SettingsError


class Clock:
    """A clock that work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _work(clock: Clock, log: list[list[int]], seconds: Callable[[int], float]) -> Callable[..., None]:
    def work(state: str, batch: list[int], folder: Path) -> None:
        assert state == "ready"
        log.append(batch)
        clock.now += sum(map(seconds, batch))
        (folder / "out").write_bytes(b"x" * 10 * sum(batch))

    return work


def _probe(
    items: list[int], seconds: Callable[[int], float], folder: Path, largest: int = 64, smallest: int = 1
) -> tuple[Probe, list[list[int]]]:
    clock, log = Clock(), list[list[int]]()

    def setup() -> str:
        clock.now += 3.0
        return "ready"

    taken = probe(_work(clock, log, seconds), items, setup, float, folder, largest, smallest, clock)
    assert not any(folder.iterdir())
    return taken, log


def test_seconds_that_grow_with_the_weight_are_extrapolated_exactly(tmp_path: Path) -> None:
    items = [*range(1, 2001)]
    taken, log = _probe(items, lambda item: 0.001 * item, tmp_path)
    result = outcome("measure", "row", len(items), sum(items), taken).result
    assert taken.setup_seconds == 3.0
    assert result["minutes"] == pytest.approx((3.0 + 0.001 * sum(items)) / 60)
    assert result["minutes_low"] is None  # batches that don't scatter say nothing of how far off they are
    assert result["interval_reason"] is not None
    assert result["disk_bytes"] == 10 * sum(items)
    assert len(taken.batches) >= 12
    assert sum(batch.seconds for batch in taken.batches) >= 5
    flat = [item for batch in log for item in batch]
    assert len({*flat}) == len(flat)
    assert 2000 in flat
    assert taken.has_heaviest


def test_a_heaviest_item_that_takes_too_long_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    taken, log = _probe([1] * 5000 + [100_000], lambda item: 0.01 * item, tmp_path)
    assert not taken.has_heaviest
    assert [100_000] not in log
    view = outcome("measure", "row", 5001, 105_000.0, taken).view
    assert "The longest row was too long for the probe, and may take more." in view.tables[0].note


def test_few_items_are_all_there_is(tmp_path: Path) -> None:
    taken, _ = _probe([5, 5], lambda item: 2.0, tmp_path)
    result = outcome("shift", "answer", 2, 10.0, taken).result
    assert result["minutes"] == pytest.approx((3 + 4) / 60)
    assert result["minutes_low"] is None
    assert "2" in result["interval_reason"] or "one" in result["interval_reason"]


def test_a_probe_of_one_piece_says_that_this_is_why_it_has_no_interval(tmp_path: Path) -> None:
    taken, _ = _probe([5], lambda item: 2.0, tmp_path)
    sentences = outcome("tune", "row", 1, 5.0, taken).view.sentences
    assert sentences[1] == "There is no interval, because the probe did one piece of the work."


def test_slow_items_end_the_probe(tmp_path: Path) -> None:
    taken, log = _probe([1] * 100, lambda item: 8.0, tmp_path)
    assert len(log) == 3  # 24 s
    assert outcome("tune", "row", 100, 100.0, taken).result["minutes"] == pytest.approx((3 + 800) / 60)


def test_items_that_are_worked_on_together_are_probed_together(tmp_path: Path) -> None:
    taken, log = _probe([1] * 40, lambda item: 0.5, tmp_path, largest=16, smallest=16)
    assert [len(batch) for batch in log] == [16, 16, 8]
    assert [batch.n for batch in taken.batches] == [16, 8]  # the first warms up


def test_the_interval_covers_what_batches_scatter_around() -> None:
    batches = [
        Batch(10, 10.0, seconds, 0) for seconds in (1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1, 0.9, 1.0)
    ]
    result = outcome("tune", "row", 600, 600.0, Probe(0.0, batches, 1, True), disk=7).result
    assert result["minutes"] == pytest.approx(1.0)
    assert result["minutes_low"] < 1 < result["minutes_high"] < 1.1
    assert result["disk_bytes"] == 7


def test_nothing_to_plan_with_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found no row to plan with"):
        plan_items("measure", "row", lambda state, batch, folder: None, [], lambda: None, float, tmp_path, 1)
