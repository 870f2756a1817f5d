"""`tune --plan`: the first steps of the training, timed and thrown away."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from tunescope.compute_plan import Batch, Probe, StopProbe, is_enough, outcome, peak_memory
from tunescope.models import silence_libraries
from tunescope.runs import Outcome
from tunescope.verbs.tune.train import make_trainer
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.models import Loaded
    from tunescope.runs import RunFolder
    from tunescope.verbs.tune.launch import Launch
    from tunescope.verbs.tune.plan import Plan
    from tunescope.verbs.tune.settings import TuneSettings

_ADAM_COPIES = 2
"""Numbers that Adam keeps for each one that is trained; a checkpoint has them."""


def plan_training(
    settings: TuneSettings, loaded: Loaded, plan: Plan, folder: RunFolder, launch: Launch, start: float
) -> Outcome:
    """Return what the training would take; `start` is when its setting up began, by `monotonic`."""
    fullest = plan.fullest_micro_batch()
    # steps of one micro-batch, so that more are done in the time. The fullest comes twice: the first step isn't timed,
    # and the second takes the most memory, since what the optimizer keeps is there from then on.
    # So the probe has one micro-batch more than the training, and counts no more rows than that
    order = (*fullest, *fullest, *plan.order)[: len(plan.order) + len(fullest)]
    small = replace(plan, batch_size=len(fullest), order=order)
    with silence_libraries():
        trainer = make_trainer(settings, loaded, small, folder.scratch / "trainer", launch)
    began, steps = monotonic(), list[Batch]()
    setup_seconds = began - start

    def time_step(step: int) -> None:
        nonlocal began
        now = monotonic()
        rows = small.order[(step - 1) * small.batch_size : step * small.batch_size]
        steps.append(Batch(len(rows), sum(map(small.n_tokens_read, rows)), now - began, 0))
        if len(steps) > 1 and is_enough(steps[1:], monotonic() - start - setup_seconds):
            raise StopProbe
        began = monotonic()

    trainer.update = time_step
    with silence_libraries(), suppress(StopProbe):
        trainer.run()
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    n_bytes = sum(p.numel() * p.element_size() for p in parameters)
    n_tokens = sum(map(plan.n_tokens_read, plan.order))
    n_rows = len(set(plan.order))
    again = ""
    if n_rows < len(plan.order):
        again = f" A row counts each time that it is read: there are {counted(n_rows, 'row')}."
    note = (
        f"It is for {plan.steps:,} steps of {plan.batch_size} rows.{again} The disk is for the model, and for a "
        "checkpoint while it trains."
    )
    taken = Probe(setup_seconds, steps[1:] or steps, peak_memory(), has_heaviest=True)
    disk = n_bytes * (2 + _ADAM_COPIES)
    return outcome("tune", "row", len(plan.order), n_tokens, taken, note, disk)
