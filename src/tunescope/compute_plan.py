"""`--plan` of work that is done here: minutes, memory and disk, from a probe of some seconds.

The probe does the work itself, with the verb's own code, on some of the items: batches drawn at random, and then the
heaviest item where that doesn't take too long, which shows the most memory. Seconds are taken to grow with the items'
weight (their characters, tokens or number), so the minutes are setting up + seconds per weight x the weight of all.
"""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from tunescope.errors import SettingsError
from tunescope.results.plan import ComputePlan
from tunescope.runs import Outcome
from tunescope.views import Table, View, counted, duration

_State = TypeVar("_State")
_Item = TypeVar("_Item")

_PROBE_SECONDS = 5.0
"""Seconds that the counted batches take together, where there are as many items."""
_LEAST_BATCHES = 12
"""As many as an interval needs."""
_BATCH_SECONDS = _PROBE_SECONDS / _LEAST_BATCHES
"""Seconds from which on a batch isn't made larger."""
_LONGEST_PROBE = 4 * _PROBE_SECONDS
"""Seconds after which no further batch is begun, however few there are."""


class Batch(NamedTuple):
    """What one batch of a probe took: items, their weight, seconds, and bytes written."""

    n: int
    weight: float
    seconds: float
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe took.

    Attributes:
        setup_seconds: until the first item could be worked on.
        batches: those that count; the ones before, which warm up, where no more items were left.
        memory_bytes: the most memory that the process has had, on the device where that is a GPU.
        has_heaviest: the heaviest item was among what it worked on.
    """

    setup_seconds: float
    batches: Sequence[Batch]
    memory_bytes: int
    has_heaviest: bool


class StopProbe(Exception):
    """Ends work that a probe has seen enough of."""


def is_enough(batches: Sequence[Batch], seconds: float) -> bool:
    """Tell whether a probe that has run for so long has timed enough."""
    is_long = sum(batch.seconds for batch in batches) >= _PROBE_SECONDS
    return (is_long and len(batches) >= _LEAST_BATCHES) or seconds >= _LONGEST_PROBE


def probe(
    work: Callable[[_State, list[_Item], Path], None],
    items: Sequence[_Item],
    setup: Callable[[], _State],
    weight: Callable[[_Item], float],
    folder: Path,
    largest: int,
    smallest: int = 1,
    clock: Callable[[], float] = monotonic,
) -> Probe:
    """Do some of the work in `folder`, which is empty again afterwards; see `plan_items` for the arguments.

    `clock` tells the seconds.
    """
    start = clock()
    state = setup()
    setup_seconds = clock() - start
    start = clock()
    warm_up, counted_batches, size = list[Batch](), list[Batch](), smallest
    order = Random(0).sample(range(len(items)), len(items))
    drawn = (items[number] for number in order)
    while batch := [item for _, item in zip(range(size), drawn, strict=False)]:
        taken = _work_on(work, state, batch, sum(map(weight, batch)), folder, clock)
        if warm_up and (counted_batches or size == largest or taken.seconds >= _BATCH_SECONDS):
            counted_batches.append(taken)
        else:
            warm_up.append(taken)
            size = min(largest, size if taken.seconds >= _BATCH_SECONDS else 2 * size)
        if is_enough(counted_batches, clock() - start):
            break
    heaviest = max(range(len(items)), key=lambda number: weight(items[number]))
    timed = counted_batches or warm_up
    has_heaviest = heaviest in order[: sum(batch.n for batch in (*warm_up, *counted_batches))]
    pace = sum(batch.seconds for batch in timed) / sum(batch.weight for batch in timed)
    if not has_heaviest and pace * weight(items[heaviest]) <= _PROBE_SECONDS:
        _work_on(work, state, [items[heaviest]], weight(items[heaviest]), folder, clock)
        has_heaviest = True
    return Probe(setup_seconds, timed, peak_memory(), has_heaviest)


def plan_items(
    name: str,
    unit: str,
    work: Callable[[_State, list[_Item], Path], None],
    items: Sequence[_Item],
    setup: Callable[[], _State],
    weight: Callable[[_Item], float],
    folder: Path,
    largest: int,
    note: str = "",
    scale: float = 1.0,
    smallest: int = 1,
) -> Outcome:
    """Return what the whole work would take.

    Args:
        name: the verb.
        unit: what an item is, such as "row".
        work: does a batch of items, and writes into the folder that it is given.
        items: all of them.
        setup: makes what `work` needs, such as a loaded model.
        weight: what an item's seconds grow with.
        folder: where the probe may write.
        largest: items that the work itself takes at a time.
        note: one more sentence, such as what isn't counted.
        scale: how many times as much an item weighs in the work as in the probe.
        smallest: items that the probe takes at a time at first; `largest`, where items together take less than alone.

    Raises:
        SettingsError: there are no items.
    """
    if not items:
        raise SettingsError(f"found no {unit} to plan with; expected at least one")
    taken = probe(work, items, setup, weight, folder, largest, smallest)
    return outcome(name, unit, len(items), scale * sum(map(weight, items)), taken, note)


def outcome(
    name: str, unit: str, n: int, weight: float, taken: Probe, note: str = "", disk: int | None = None
) -> Outcome:
    """Return what `n` items of a weight would take; `disk` is what they write where the probe doesn't show it."""
    from tunescope import stats

    rate = stats.mean_pooled([b.seconds for b in taken.batches], [b.weight for b in taken.batches])
    of_batches = sum(batch.weight for batch in taken.batches)
    if disk is None:
        disk = round(sum(batch.n_bytes for batch in taken.batches) / of_batches * weight) if of_batches else 0
    assert rate.value is not None  # every batch weighs something

    def minutes(seconds_per_weight: float) -> float:
        return (taken.setup_seconds + seconds_per_weight * weight) / 60

    plan = ComputePlan(
        unit=unit,
        n=n,
        n_probed=sum(batch.n for batch in taken.batches),
        n_batches=len(taken.batches),
        minutes=minutes(rate.value),
        minutes_low=None if rate.low is None else minutes(rate.low),
        minutes_high=None if rate.high is None else minutes(rate.high),
        interval_reason=rate.reason,
        setup_minutes=taken.setup_seconds / 60,
        memory_bytes=taken.memory_bytes,
        has_heaviest=taken.has_heaviest,
        disk_bytes=disk,
    )
    return Outcome(plan.as_json(), _view(name, plan, note))


def _view(name: str, plan: ComputePlan, note: str) -> View:
    between = ""
    if plan.minutes_low is not None and plan.minutes_high is not None:
        between = f" (95 % interval {duration(plan.minutes_low)} to {duration(plan.minutes_high)})"
    sentence = (
        f"{name} would take about {duration(plan.minutes)}{between} for {counted(plan.n, plan.unit)}, "
        f"{_size(plan.memory_bytes)} of memory and {_size(plan.disk_bytes)} of disk. Nothing was kept."
    )
    memory = "Memory is the most that the probe took; whole runs have taken up to 1.4 times as much."
    if not plan.has_heaviest:
        memory += f" The longest {plan.unit} was too long for the probe, and may take more."
    table = Table(
        "Plan",
        (
            "minutes",
            "95 % from",
            "to",
            "to set up",
            "memory in MB",
            "disk in MB",
            f"{plan.unit}s probed",
            "of",
        ),
        (
            (
                plan.minutes,
                plan.minutes_low,
                plan.minutes_high,
                plan.setup_minutes,
                plan.memory_bytes / 1e6,
                plan.disk_bytes / 1e6,
                plan.n_probed,
                plan.n,
            ),
        ),
        f"From a probe of {counted(plan.n_batches, 'piece')} of the work, on this machine as it is now. {memory}",
    )
    return View((sentence, *_why_no_interval(plan), *((note,) if note else ())), (table,))


def _why_no_interval(plan: ComputePlan) -> tuple[str, ...]:
    if plan.interval_reason is None:
        return ()
    if plan.n_batches == 1:
        return ("There is no interval, because the probe did one piece of the work.",)
    return (f"There is no interval: {plan.interval_reason.removesuffix(': no interval')}.",)


def _work_on(
    work: Callable[..., None], state: Any, batch: list[Any], weight: float, folder: Path, clock: Callable[[], float]
) -> Batch:
    """Work on a batch in a folder of its own, and remove what it writes."""
    target = folder / "probe"
    target.mkdir(parents=True)
    start = clock()
    try:
        work(state, batch, target)
        seconds = clock() - start
        n_bytes = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return Batch(len(batch), weight, seconds, n_bytes)


def peak_memory() -> int:
    """Return the most bytes that this process has had; on a GPU, the most that torch has had there."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
