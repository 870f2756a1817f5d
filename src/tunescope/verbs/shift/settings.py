"""The settings of `shift`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope import runs
from tunescope.models.settings import LoadSettings
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import EngineSettings, at_least


@dataclass(frozen=True, kw_only=True)
class _ModelsSettings:
    """The two models that are compared."""

    tuned: str = field(metadata=INPUT)
    """The tuned model: a PEFT adapter, a tune run, a model folder, an embedded model's name, a GGUF file or a hub
    id."""

    base: str | None = field(default=None, metadata=INPUT)
    """The model before tuning. An adapter or a tune run names it."""

    base_revision: str | None = field(default=None, metadata=INPUT)
    """Branch, tag or commit of --base, if that is a hub id."""


@dataclass(frozen=True, kw_only=True)
class ShiftSettings(EngineSettings, LoadSettings, _ModelsSettings):
    """Compare a tuned model with its base at each token of the tuned model's answers."""

    answers: str | None = field(default=None, metadata=INPUT)
    """The tuned model's greedy answers: an answer run, or a file of answers (ours or AlpacaEval's)."""

    prompts: str | None = field(default=None, metadata=INPUT)
    """Instead of --answers: a question file or row file that the tuned model answers first, greedily."""

    format: str | None = None
    """Read --prompts as prompts, alpaca_eval, just_eval, mt_bench, wizardlm, medinstruct or a row format."""

    base_template: str = "same"
    """What the base sees: same (the same text), bare (the instruction alone), or the name of another chat template."""

    rows: tuple[str, ...] = field(default=(), metadata=INPUT)
    """The training rows, to tell what share of the shifted words occurs in them."""

    other_rows: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Rows that the tuned model wasn't trained on, to tell what share occurs in rows by chance."""

    top_k: int | None = field(default=None, metadata=at_least(1))
    """Also compute AlignTDS's KL, over the tokens that are among the top K of both models (AlignTDS uses 30)."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Maximum length of an answer to --prompts, in tokens."""

    limit: int | None = field(default=None, metadata=at_least(1))
    """Use only this many answers or prompts, in file order."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of prompts answered at a time."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Only estimate. Print the minutes, memory and disk that the work on --answers would take, from a probe of a few
    seconds."""

    out: str | None = runs.out_field()
    """The run folder; runs/shift-KEY by default."""
