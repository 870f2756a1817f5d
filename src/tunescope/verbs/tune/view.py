"""What a training comes to: its result, and the view of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunescope.results.tune import TuneResult
from tunescope.views import Table, View

if TYPE_CHECKING:
    from tunescope.models.training_rows import Example
    from tunescope.runs import RunFolder
    from tunescope.verbs.tune.settings import TuneSettings
    from tunescope.verbs.tune.train import StepRecord

_IDS_PER_REASON = 3
"""Row ids named per reason in the view; the table `rows` has them all."""


def summarize(
    settings: TuneSettings,
    folder: RunFolder,
    examples: Sequence[Example],
    records: Sequence[StepRecord],
    adapter_sha256: str,
) -> TuneResult:
    """Return the result of a training; losses are means over the first and last tenth of the steps that have one."""
    losses = [record.loss for record in records if record.loss is not None]
    tenth = math.ceil(len(losses) / 10)
    n_trained = sum(bool(example.parts) for example in examples)
    loss_first, loss_last = (sum(part) / tenth for part in (losses[:tenth], losses[-tenth:]))
    has_noise = settings.neftune_alpha is not None
    checkpoints = (str(path) for path in folder.path.glob("checkpoints/epoch-*"))
    in_order = sorted(checkpoints, key=lambda path: int(path.rpartition("-")[2]))
    return TuneResult(
        rows=len(examples),
        trained=n_trained,
        dropped=len(examples) - n_trained,
        truncated=sum(example.truncated for example in examples),
        preference_rows=sum(example.is_preference for example in examples) or None,
        steps=len(records),
        loss_first=None if has_noise else loss_first,
        loss_last=None if has_noise else loss_last,
        loss_with_noise_first=loss_first if has_noise else None,
        loss_with_noise_last=loss_last if has_noise else None,
        tokens=sum(record.tokens for record in records),
        model=str(folder.path / "model"),
        adapter_sha256=adapter_sha256 or None,
        checkpoints=tuple(in_order) if settings.keep_checkpoints else None,
    )


def show(
    settings: TuneSettings,
    result: TuneResult,
    examples: Sequence[Example],
    preview: Sequence[tuple[str, str]],
    preset: str | None,
) -> View:
    """Return the view of a training."""
    tables = [_training_table(settings, result)]
    if lines := rows_to_look_at(examples):
        tables.append(Table("Rows to look at", ("reason", "", "rows", "row ids"), tuple(lines)))
    note = "The first rows in the order of training. The loss is taken over the text between ⟦ and ⟧."
    tables.append(Table("What is supervised", ("row id", "text"), tuple(preview), note))
    sentence = (
        f"Tuned {settings.model} ({settings.method}) on {result.trained} of {result.rows} rows "
        f"in {result.steps} steps; the model is in {result.model}."
    )
    sentences = [sentence, *filter(None, (preference_sentence(examples), f"{preset}." if preset else ""))]
    return View(tuple(sentences), tuple(tables))


def preference_sentence(examples: Sequence[Example]) -> str:
    """Say what of preference rows is trained on; "" where there are none."""
    n = sum(example.is_preference for example in examples)
    if not n:
        return ""
    return f"Preference rows: {n:,}. Their chosen response is trained on, the rejected one isn't."


def rows_to_look_at(examples: Sequence[Example]) -> list[tuple[str, str, int, str]]:
    """Count the rows that have a reason: the reason, `trained` or `dropped`, the number of rows, the first ids."""
    counts = Counter((example.reason, bool(example.parts)) for example in examples if example.reason)
    lines = []
    for (reason, is_trained), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        ids = [example.row_id for example in examples if example.reason == reason]
        fate = "trained" if is_trained else "dropped"
        lines.append((reason, fate, count, ", ".join(ids[:_IDS_PER_REASON])))
    return lines


def _loss_name(settings: TuneSettings) -> str:
    """Return what the loss is called: one under NEFTune's noise can't be compared with one without."""
    return "loss" if settings.neftune_alpha is None else "loss_with_noise"


def _training_table(settings: TuneSettings, result: TuneResult) -> Table:
    loss = _loss_name(settings)
    names = ("rows", "trained", "dropped", "steps", "tokens", f"{loss}_first", f"{loss}_last")
    note = (
        f"{loss}_first and {loss}_last are means over the first and last 10 % of the steps with a supervised token, "
        "in nats per such token (the assistant's tokens and the end of its turn)."
    )
    if settings.neftune_alpha is not None:
        note += (
            f" They were taken under NEFTune's noise (alpha {settings.neftune_alpha:g}): "
            "don't compare them with a loss without noise."
        )
    return Table(
        "Training",
        tuple("supervised tokens" if name == "tokens" else name for name in names),
        (tuple(getattr(result, name) for name in names),),
        note,
    )
