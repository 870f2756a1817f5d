"""Settings of `check`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tunescope.runs import INPUT, NOT_IN_KEY, out_field
from tunescope.settings import POSITIONAL, RowsSettings, above, at_least, group


@dataclass(frozen=True, kw_only=True)
class CheckSettings(RowsSettings):
    """Find faults in rows without a model, or with --masks in what a chat template has trained on."""

    rows: tuple[str, ...] = field(
        default=(), metadata={**INPUT, **POSITIONAL, "near": ("dataset", "data", "train_file")}
    )
    """Row files: paths, globs, - for a pipe, or a Hugging Face data set (ID:SPLIT, ID:CONFIG:SPLIT)."""

    against: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Benchmark files, folders or globs to look for in the rows (.json, .jsonl, .csv, .txt, .parquet)."""

    max_words: int = field(default=1500, metadata=at_least(1))
    """A row with more words than this is very long."""

    near_duplicate_at: float = field(default=0.8, metadata=above(0, at_most=1))
    """Two rows are near-duplicates if the Jaccard similarity of their word 3-grams is at least this."""

    show: str | None = field(default=None, metadata=NOT_IN_KEY)
    """Print all rows with this fault, with their text."""

    csv: str | None = field(default=None, metadata={**NOT_IN_KEY, "group": "Output"})
    """Write the faulty rows (with --show only those with that fault) to this new CSV file, with grade and text."""

    workers: int | None = field(default=None, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of processes; one per core by default, one for small files."""

    masks: bool = field(default=False, metadata={**INPUT, **group("Masks")})
    """Check a chat template instead of rows: which tokens are supervised, and what is wrong with that."""

    model: str | None = field(default=None, metadata={**INPUT, **group("Masks")})
    """With --masks: the model whose tokenizer is used, and whose template is used unless --template names one."""

    template: str | None = field(default=None, metadata={**INPUT, **group("Masks")})
    """With --masks: alpaca, vicuna, chatml or a Jinja file. Without --model a stand-in tokenizer is used."""

    template_arg: tuple[str, ...] = field(default=(), metadata={**INPUT, **group("Masks")})
    """With --masks: a variable for the chat template, as NAME=VALUE, for example enable_thinking=false."""

    supervise: Literal["marked", "all", "tune"] = field(default="marked", metadata={**INPUT, **group("Masks")})
    """With --masks: which tokens are supervised: those inside the template's generation marks (marked, as TRL's
    assistant_only_loss), every token (all), or those that tune supervises (tune)."""

    out: str | None = out_field()
    """The run folder; runs/check-KEY by default."""
