"""What `tune` writes: its result, a line per step and a table of rows; and what others read of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.columns import Columns
from tunescope.results.record import Int32, Record


@dataclass(frozen=True, kw_only=True)
class TuneSetup(Record):
    """The settings of a tune run that say what its model was made from, and how."""

    rows: tuple[str, ...]
    model: str
    method: str
    seed: int
    batch_size: int | None = None
    neftune_alpha: float | None = None
    template: str | None = None
    template_arg: tuple[str, ...] = ()
    max_length: int | None = None
    epochs: float | None = None
    lr: float | None = None


@dataclass(frozen=True, kw_only=True)
class TuneResult(Record):
    """The result of `tune`. Losses are in nats per supervised token; with `--command` only rows and model are known."""

    rows: int
    trained: int | None = None
    dropped: int | None = None
    truncated: int | None = None
    preference_rows: int | None = None
    """Rows with a chosen and a rejected response: the chosen one is trained on. None where there are none."""
    steps: int | None = None
    loss_first: float | None = None
    """Mean over the first 10 % of the steps that have a supervised token; `loss_last` over the last."""
    loss_last: float | None = None
    loss_with_noise_first: float | None = None
    """The same under NEFTune's noise, where it is on."""
    loss_with_noise_last: float | None = None
    tokens: int | None = None
    """Supervised tokens of all steps."""
    model: str
    """The folder of the tuned model."""
    adapter_sha256: str | None = None
    checkpoints: tuple[str, ...] | None = None
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class TuneStep(Record):
    """A line of `metrics.jsonl`: one optimizer step."""

    NAME: ClassVar[str] = "metrics"

    step: int
    epoch: float
    loss: float | None = None
    """Null in a step without a supervised token, which leaves the weights as they are."""
    loss_with_noise: float | None = None
    """The loss under NEFTune's noise, where it is on; then `loss` is left out."""
    lr: float
    tokens: int


@dataclass(frozen=True, kw_only=True)
class TunedRows(Columns):
    """The table `rows`: every row in file order, its tokens before cutting, and how many of them were trained on."""

    NAME: ClassVar[str] = "rows"

    row_id: Sequence[str]
    n_tokens: Sequence[Int32]
    n_supervised: Sequence[Int32]
    truncated: Sequence[bool]
    reason: Sequence[str | None]
