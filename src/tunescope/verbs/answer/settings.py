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
    """An embedded model's name, a folder, a GGUF file, a hub id, or the URL of an OpenAI-compatible server."""

    served_model: str | None = field(default=None, metadata={**INPUT, "alias": ("model_name",)})
    """With --model URL: the server's name for the model. By default the server's only model."""

    max_new_tokens: int = field(default=256, metadata=at_least(1))
    """Maximum length of an answer in tokens."""

    temperature: float | None = field(default=None, metadata=above(0, hint="leave it out for greedy answers"))
    """Sample at this temperature. Without it answers are greedy."""

    top_p: float | None = field(default=None, metadata=above(0, at_most=1))
    """Sample from the most probable tokens that make up this share of the probability; all by default."""

    n: int = field(default=1, metadata=at_least(1))
    """Number of samples per prompt."""

    seed: int = 0
    """Seed of the sampling. Each prompt and sample has its own random numbers."""

    limit: int | None = field(default=None, metadata=at_least(1))
    """Answer only this many prompts, in file order."""

    batch_size: int = field(default=16, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of prompts that a model loaded here answers at a time."""

    concurrency: int = field(default=8, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of calls to a server at a time."""

    timeout: float = field(default=600.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that one call to a server may take."""

    deadline: float = field(default=1800.0, metadata={**NOT_IN_KEY, **above(0)})
    """Seconds that a prompt may take at a server from its first call, including waits and retries."""

    again: bool = field(default=False, metadata=NOT_IN_KEY)
    """Also ask again for items that got no answer in an earlier run because of their own content or length."""

    plan: bool = field(default=False, metadata=NOT_IN_KEY)
    """Only estimate. Print the minutes, memory and disk that a model loaded here would take, from a probe of a few
    seconds."""

    out: str | None = runs.out_field()
    """The run folder; runs/answer-KEY by default."""
