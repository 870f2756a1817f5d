"""Settings of `tune`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunescope import runs
from tunescope.models.settings import ModelSettings
from tunescope.runs import NOT_IN_KEY
from tunescope.settings import RowsSettings, above, at_least, group

_MICRO_BATCH = 2
"""On CPU: 4 is 8 % faster per token but pads 18 % more (lora-and-full's rows); 1 is 25 % slower per token."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings(ModelSettings, RowsSettings):
    """Fine-tune a model on rows, with LoRA or in full."""

    method: Literal["lora", "full"] = "lora"
    """Train a LoRA adapter, or all weights."""

    preset: Literal["faco", "limits", "recycled"] | None = field(default=None, metadata=NOT_IN_KEY)
    """The settings of the FACO, Limitations or Reflection-Tuning paper (faco, limits, recycled). Options that you give
    take precedence."""

    epochs: float | None = field(
        default=None, metadata={**group("Steps"), **above(0), "alias": ("num_train_epochs", "num_epochs")}
    )
    """How often each row is seen; 2 by default."""

    max_steps: int | None = field(default=None, metadata={**group("Steps"), **at_least(1)})
    """Stop after this many optimizer steps instead of after --epochs. Rows repeat if there are too few."""

    lr: float | None = field(
        default=None, metadata={**group("Steps"), **above(0, below=1), "alias": ("learning_rate",)}
    )
    """Highest learning rate; 2e-4 for lora and 2e-5 for full by default."""

    lr_scheduler: Literal["linear", "cosine", "constant"] | None = field(
        default=None, metadata={**group("Steps"), "alias": ("lr_scheduler_type",)}
    )
    """Learning rate after --warmup: it falls to 0 (linear, the default, or cosine) or stays constant."""

    warmup: float | None = field(
        default=None, metadata={**group("Steps"), **at_least(0, below=1), "alias": ("warmup_ratio",)}
    )
    """Share of the steps over which the learning rate rises; 0.03 by default."""

    batch_size: int | None = field(
        default=None,
        metadata={
            **group("Steps"),
            **at_least(1),
            "near": ("per_device_train_batch_size", "gradient_accumulation_steps", "micro_batch_size"),
        },
    )
    """Number of rows per optimizer step, over all processes; 8 by default."""

    micro_batch: int = field(default=_MICRO_BATCH, metadata={**group("Steps"), **NOT_IN_KEY, **at_least(1)})
    """Number of rows in memory at a time, per process."""

    packing: bool = field(default=False, metadata={**group("Steps"), **NOT_IN_KEY, "alias": ("sample_packing",)})
    """Pack whole rows into one sequence of up to --max-length tokens, without padding. What rows begin with alike is
    packed once, and attention stays inside each row. On a CPU this is done anyway for architectures on which it is
    tested."""

    max_length: int | None = field(
        default=None,
        metadata={
            **group("Steps"),
            **at_least(1),
            "alias": ("cutoff_len", "sequence_len", "max_seq_length", "max_seq_len"),
        },
    )
    """Maximum length of a row in tokens, 1024 by default. Longer rows are cut."""

    lora_rank: int | None = field(
        default=None, metadata={**group("LoRA"), **at_least(1), "alias": ("lora_r",), "near": ("lora_alpha",)}
    )
    """Rank of the adapter, 16 by default; its alpha is twice this, its dropout 0."""

    lora_targets: str | None = field(
        default=None, metadata={**group("LoRA"), "alias": ("lora_target", "lora_target_modules")}
    )
    """Layers that get an adapter: all-linear (the default: all but the output layer), or names joined by commas."""

    neftune_alpha: float | None = field(
        default=None, metadata={**group("Steps"), **above(0, hint="such as 5"), "alias": ("neftune_noise_alpha",)}
    )
    """NEFTune: noise on the embeddings while training, uniform in ±ALPHA/√(tokens of the row · width)."""

    seed: int = field(default=0, metadata=group("Steps"))
    """Decides the order of rows, the adapter's first weights and the noise."""

    checkpoint_minutes: float = field(default=10.0, metadata={**group("Checkpoints"), **NOT_IN_KEY, **at_least(0)})
    """Minutes between checkpoints. One is also written after each epoch. A killed run continues from the last one."""

    keep_checkpoints: bool = field(default=False, metadata=group("Checkpoints"))
    """Keep the model of each epoch, as checkpoints/epoch-N."""

    track: Literal["wandb", "mlflow", "trackio"] | None = field(default=None, metadata=NOT_IN_KEY)
    """Also send the losses to a tracker, whose package must be installed."""

    command: str | None = field(default=None, metadata={"verbatim": True})
    """Train with another program: a command that contains {rows} and {out}, and {model} and {seed} if needed."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Only estimate. Print the minutes, memory and disk that the work would take, from a probe of a few seconds."""

    out: str | None = runs.out_field()
    """The run folder; runs/tune-KEY by default."""
