"""A model as lm-eval takes it: lm-eval's own prompts and tokens, scored with what they share at their beginning once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from lm_eval.models.huggingface import HFLM

from tunescope.models.generate import context_of
from tunescope.models.packing import Passage
from tunescope.models.score import Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TOKENS = 2048
"""The longest text where a model doesn't say its own; lm-eval's number."""


class SharedBeginningLM(HFLM):  # type: ignore[misc]  # the base has no types
    """lm-eval's model class with one method of ours: what requests share at their beginning is read once.

    Texts are cut into tokens by lm-eval, and long ones are cut on the left as it cuts them. The scores are those of
    each request alone.

    Attributes:
        scorer: reads the texts; its `method` says how.
        n_cut: requests so far whose context was cut.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 16,
        update: Callable[[int], None] = lambda tokens: None,
    ) -> None:
        """Take a loaded model; `batch_size` is for generating, and `update` takes the tokens that were read so far."""
        limit = context_of(model) or _TOKENS
        super().__init__(
            pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size, max_length=limit
        )
        self.scorer = Scorer(model)
        self.n_cut = 0
        self._update = update

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str], Sequence[int], Sequence[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-probability in nats, and whether it is what greedy decoding gives."""
        passages = [self._passage(context, continuation) for _, context, continuation in requests]
        scores = self.scorer.score_greedy(passages, self._update)
        return [
            (float(np.sum(each.log_probabilities, dtype=np.float64)), bool(np.all(each.is_first))) for each in scores
        ]

    def _passage(self, context: Sequence[int], continuation: Sequence[int]) -> Passage:
        room = self.max_length + 1 - len(continuation)
        self.n_cut += len(context) > room
        return Passage(tuple(context[-room:]), tuple(continuation))

    @property
    def facts(self) -> dict[str, Any]:
        """How the requests were read: what a result should say beside its scores."""
        return {"method": self.scorer.method, "n_cut": self.n_cut}
