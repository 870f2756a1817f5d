"""Two models side by side: the tuned one and its base, read on the same tokens.

For a LoRA adapter both are one set of weights, with the adapter on and off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope.errors import TunescopeError
from tunescope.models import Loaded, ModelSettings, load, silence_libraries
from tunescope.models.generate import context_of
from tunescope.models.lazy import require
from tunescope.models.packing import Passage
from tunescope.models.score import Scorer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


POSITIONS = 32
"""Positions whose logits exist at a time, of both models: 32 x 49,152 float32 are 6 MB a matrix, of which 5 exist."""
PROBE = "The 3 cats, 12.50 € each:\n\tdef f(x): return x  # naïve 日本 'isn't' <b>\n\n Ok?"
"""A text that tokenizers split differently."""


@dataclass(frozen=True, slots=True)
class TokenShift:
    """How two models differ at each of N tokens; every field is an array [N], float64 or int64.

    Attributes:
        kl: KL(P_base ‖ P_tuned) in nats.
        kl_reverse: KL(P_tuned ‖ P_base) in nats.
        base_prob: P_base of the tuned model's top token.
        base_rank: 1 + the number of tokens strictly more probable in P_base than that.
        log_ratio: log P_tuned − log P_base of the token itself.
        top: the tuned model's top token.
        base_top: the base model's top token.
        outside_base: probability mass of tokens that only the base has.
        outside_tuned: the same of the tuned model.
        kl_top_k: the truncated KL of the public code; None unless it was requested.
    """

    kl: Any
    kl_reverse: Any
    base_prob: Any
    base_rank: Any
    log_ratio: Any
    top: Any
    base_top: Any
    outside_base: Any
    outside_tuned: Any
    kl_top_k: Any = None


class ModelPair:
    """A tuned model and its base, loaded; of an adapter, one set of weights with the adapter on and off."""

    def __init__(self, base: ModelSettings, tuned: ModelSettings, is_adapter: bool, positions: int = POSITIONS) -> None:
        """Load both models; `positions` is how many positions' logits exist at a time.

        Raises:
            TunescopeError: two tokenizers, or a model that can't be loaded or read in parts.
        """
        self.tuned: Loaded = load(tuned, merge=False)
        self.positions = positions
        self._off: Callable[[], AbstractContextManager[Any]] = nullcontext
        with silence_libraries():
            self._tuned_scorer = Scorer(self.tuned.model)
            if is_adapter and self.tuned.adapter is not None:
                self.base = replace(self.tuned, name=base.model)
                self._base_scorer = self._tuned_scorer
                self._off = self.tuned.without_adapter
            else:
                self.base = load(base)
                self._base_scorer = Scorer(self.base.model)
        self.only_base, self.only_tuned = _compare_vocabularies(self.base, self.tuned)
        self._limits = [context_of(loaded.model) for loaded in (self.base, self.tuned)]

    @property
    def shares_weights(self) -> bool:
        """Tell whether one set of weights serves both."""
        return self._base_scorer is self._tuned_scorer

    def reason_unreadable(self, base: Passage, tuned: Passage) -> str | None:
        """Return why both models can't read a passage; None where they can."""
        for passage, limit in zip((base, tuned), self._limits, strict=True):
            length = len(passage.context) + len(passage.target)
            if limit is not None and length > limit:
                return f"{length:,} tokens with its prompt; the model's context holds {limit:,}"
        lone = next((i for i in tuned.target if i in self.only_tuned or i in self.only_base), None)
        return None if lone is None else f"token {lone} is in the vocabulary of one of the models only"

    def compare(self, base: Sequence[Passage], tuned: Sequence[Passage], top_k: int | None = None) -> list[TokenShift]:
        """Compare both models' next-token distributions at each token of each passage's target.

        `base` and `tuned` have the same targets behind their own contexts. Each model reads every passage once; the
        states of both are held, logits of `positions` positions at a time.
        """
        if not tuned:
            return []
        torch = require("torch")
        with self._off():
            base_states = _states(self._base_scorer, base)
        tuned_states = _states(self._tuned_scorer, tuned)
        targets = torch.tensor([i for passage in tuned for i in passage.target], device=tuned_states.device)
        # all results are allocated at once: small ones between large ones fragment the heap (300 MB at 1,024 tokens)
        names = [f.name for f in fields(TokenShift) if top_k is not None or f.name != "kl_top_k"]
        results = {name: torch.empty(len(targets), dtype=torch.float64, device=targets.device) for name in names}
        with self._heads() as (base_head, tuned_head), torch.inference_mode():
            for start in range(0, len(targets), self.positions):
                part = slice(start, start + self.positions)
                logits = base_head(base_states[part]).to(targets.device), tuned_head(tuned_states[part])
                for name, column in self._compare_logits(*logits, targets[part], top_k).items():
                    results[name][part] = column
                del logits
        columns = {name: column.cpu().numpy() for name, column in results.items()}
        for name in ("base_rank", "top", "base_top"):
            columns[name] = columns[name].astype(np.int64)
        ends = list(accumulate((len(passage.target) for passage in tuned), initial=0))
        return [TokenShift(**{name: c[a:b] for name, c in columns.items()}) for a, b in pairwise(ends)]

    @contextmanager
    def _heads(self) -> Iterator[tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]]:
        with self._tuned_scorer.head() as tuned_head:
            if not self.shares_weights:
                with self._base_scorer.head() as base_head:
                    yield base_head, tuned_head
                return

            def without_adapter(states: torch.Tensor) -> torch.Tensor:
                with self._off():
                    return tuned_head(states)

            yield without_adapter, tuned_head

    def _compare_logits(
        self, base: torch.Tensor, tuned: torch.Tensor, targets: torch.Tensor, top_k: int | None
    ) -> dict[str, Any]:
        """Return the columns of `TokenShift` for logits [positions, vocabulary], which are overwritten."""
        torch = require("torch")
        keep = self._shared(base, tuned)
        outside = [base.new_zeros(len(base))] * 2
        if keep is not None:
            outside = [1 - (part[:, keep].logsumexp(dim=1) - part.logsumexp(dim=1)).exp() for part in (base, tuned)]
            base, tuned, targets = base[:, keep], tuned[:, keep], torch.searchsorted(keep, targets)
        top, base_top = tuned.max(dim=1).indices, base.max(dim=1).indices  # on CPU in half the time of argmax
        rank = 1 + (base > base.gather(1, top[:, None])).view(torch.int8).sum(dim=1, dtype=torch.int32)
        base -= base.logsumexp(dim=1, keepdim=True)
        tuned -= tuned.logsumexp(dim=1, keepdim=True)
        base_prob = base.gather(1, top[:, None])[:, 0].exp()
        ratio = (tuned.gather(1, targets[:, None]) - base.gather(1, targets[:, None]))[:, 0]
        truncated = {"kl_top_k": _truncated_kl(base, tuned, top_k)} if top_k is not None else {}
        log_ratios = base - tuned
        # float32 rounds the normalisers by 1e-6 nats; the sum of the probabilities shows by how much
        base_sum, tuned_sum = (logs.exp_().sum(dim=1).double() for logs in (base, tuned))
        correction = tuned_sum.log() - base_sum.log()
        kl_reverse = -tuned.mul_(log_ratios).sum(dim=1) / tuned_sum - correction
        kl = log_ratios.mul_(base).sum(dim=1) / base_sum + correction
        if keep is not None:
            top, base_top = keep[top], keep[base_top]
        return truncated | {
            "kl": kl.clamp_(min=0),
            "kl_reverse": kl_reverse.clamp_(min=0),
            "base_prob": base_prob / base_sum,
            "base_rank": rank,
            "log_ratio": ratio - correction,
            "top": top,
            "base_top": base_top,
            "outside_base": outside[0].clamp_(min=0),
            "outside_tuned": outside[1].clamp_(min=0),
        }

    def _shared(self, base: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor | None:
        """Return the ids that both models have, given logits of both; None where that is all of them."""
        size, only = min(base.shape[1], tuned.shape[1]), self.only_base | self.only_tuned
        if not only and base.shape == tuned.shape:
            return None
        return require("torch").tensor([i for i in range(size) if i not in only], device=tuned.device)


def _states(scorer: Scorer, passages: Sequence[Passage]) -> torch.Tensor:
    """Return the states [tokens, width] from which the passages' targets are predicted, in their order."""
    by_passage: dict[int, torch.Tensor] = {}
    for reading in scorer.read(passages):
        by_passage |= reading.parts(reading.states)
    states: torch.Tensor = require("torch").cat([by_passage[number] for number in range(len(passages))])
    return states


def _truncated_kl(base: torch.Tensor, tuned: torch.Tensor, k: int) -> torch.Tensor:
    """Return the "KL" of the public code (AlignTDS): over tokens that are among the top k of both models.

    Each model is renormalised over its own k. Tokens that only one list has are left out, so it may be negative.
    """
    (b, of_base), (t, of_tuned) = (logs.topk(min(k, logs.shape[1]), dim=1) for logs in (base, tuned))
    b, t = (logs.double() - logs.double().logsumexp(dim=1, keepdim=True) for logs in (b, t))
    same = of_base[:, :, None] == of_tuned[:, None, :]
    sums: torch.Tensor = (b.exp()[:, :, None] * (b[:, :, None] - t[:, None, :]) * same).sum(dim=(1, 2))
    return sums


def _compare_vocabularies(base: Loaded, tuned: Loaded) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ids of tokens that only the base, only the tuned model has.

    Raises:
        TunescopeError: the tokenizers give an id to two different tokens, or split a text differently.
    """
    if base.tokenizer is tuned.tokenizer:
        return frozenset(), frozenset()
    ours, theirs = (_by_id(loaded.tokenizer) for loaded in (tuned, base))
    unlike = next((i for i in sorted(ours.keys() & theirs.keys()) if ours[i] != theirs[i]), None)
    if unlike is not None:
        reason = f"token {unlike} is {ours[unlike]!r} in the one and {theirs[unlike]!r} in the other"
    elif len({tuple(loaded.tokenizer(PROBE, add_special_tokens=False)["input_ids"]) for loaded in (base, tuned)}) > 1:
        reason = "they split a text differently"
    else:
        return frozenset(theirs.keys() - ours.keys()), frozenset(ours.keys() - theirs.keys())
    raise TunescopeError(
        f"{tuned.name} and {base.name} have different tokenizers ({reason}), so their tokens can't be compared; "
        "name the model that it was tuned from with --base"
    )


def _by_id(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    return {number: token for token, number in tokenizer.get_vocab().items()}
