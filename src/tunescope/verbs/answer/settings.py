"""The settings of `answer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunescope import runs
from tunescope.models.embedded import DEFAULT
from tunescope.models.settings import ModelSettings
from tunescope.oracle.api import refuse_secrets
from tunescope.runs import INPUT, NOT_IN_KEY
from tunescope.settings import POSITIONAL, EngineSettings, above, at_least


@dataclass(frozen=True, kw_only=True)
class AnswerSettings(EngineSettings, ModelSettings):
    """Answer prompts with a model, greedily or sampled."""

    prompts: str = field(metadata={**INPUT, **POSITIONAL})
    """A question file (tunescope's, AlpacaEval's, just-eval's, MT-bench's, WizardLM's, MedInstruct's, arena-hard's,
    IFEval's, CSV, or text with a question per line) or row file."""

    format: str | None = None
    """Format of the prompts: prompts, questions, alpaca_eval, arena_hard, ifeval, just_eval, mt_bench, wizardlm,
    medinstruct or a row format. By default the content decides."""

    model: str = field(default=DEFAULT, metadata={**INPUT, "refuse": refuse_secrets})
    """An embedded name, a folder, a GGUF file, a hub id, or the URL of an OpenAI-compatible server."""

    served_model: str | None = field(default=None, metadata={**INPUT, "alias": ("model_name",)})
    """The name that the server of --model URL has for the model. By default its only model."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Longest answer in tokens."""

    temperature: float | None = field(default=None, metadata=above(0, hint="leave it out for greedy answers"))
    """Sample at this temperature; without it answers are greedy."""

    top_p: float | None = field(default=None, metadata=above(0, at_most=1))
    """Sample from the most probable tokens that make up this share of the probability; all by default."""

    n: int = field(default=1, metadata=at_least(1))
    """Samples per prompt."""

    seed: int = 0
    """Seed of the sampling; every prompt and sample has random numbers of its own."""

    limit: int | None = field(default=None, metadata=at_least(1))
    """Answer only this many prompts, in file order."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Prompts that are answered at a time by a model loaded here."""

    concurrency: int = field(default=8, metadata={**NOT_IN_KEY, **at_least(1)})
    """Calls to a server at a time."""

    timeout: float = field(default=600.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that one call to a server may take."""

    deadline: float = field(default=1800.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that a prompt may take at a server from its first call on, waiting and retries included."""

    again: bool = field(default=False, metadata=NOT_IN_KEY)
    """Ask again also where an earlier run got no answer for the prompt's own sake (its content, its length)."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Keep nothing. Print the minutes, memory and disk that a model loaded here would take, from a probe of
    some seconds."""

    out: str | None = runs.out_field()
    """The run folder; runs/answer-KEY by default."""
