"""A model as lm-eval takes it: lm-eval's own prompts and tokens, with what they share at their beginning read once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import tqdm  # type: ignore[import-untyped]
from lm_eval.api import task as api
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.generate import context_of, generate
from tunescope.models.lazy import silence_libraries
from tunescope.models.packing import Passage
from tunescope.models.score import Scorer
from tunescope.progress import progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_Request = tuple[tuple[str, str], Sequence[int], Sequence[int]]
"""Context and continuation as texts, and as token ids."""
_IN_THIS_PROCESS = "DISABLE_MULTIPROC"
"""The variable by which lm-eval's bootstrap starts no processes."""
_TOKENS = 2048
"""The longest text where a model doesn't say its own; lm-eval's number."""
_PARITY = 1e-3
"""Nats by which a log-probability may differ from that of lm-eval's own code."""
_REPORT = "Please report it with the model's name; lm-eval's own scores come with: lm_eval --model hf"


@contextmanager
def silence_lm_eval() -> Iterator[None]:
    """Silence lm-eval's logs, prints and bars, which no argument hides, and keep its bootstrap in this process."""
    quiet = partial(tqdm.tqdm, disable=True)
    before = os.environ.get(_IN_THIS_PROCESS)
    os.environ[_IN_THIS_PROCESS] = "1"
    try:
        with silence_libraries(), redirect_stdout(StringIO()), _attribute(api, quiet), _attribute(tqdm, quiet):
            yield
    finally:
        os.environ.pop(_IN_THIS_PROCESS)
        if before is not None:
            os.environ[_IN_THIS_PROCESS] = before


@contextmanager
def _attribute(module: Any, quiet: Any) -> Iterator[None]:
    """Give a module another `tqdm` while the context lasts."""
    before, module.tqdm = module.tqdm, quiet
    try:
        yield
    finally:
        module.tqdm = before


class SharedBeginningLM(HFLM):  # type: ignore[misc]  # the base has no types
    """lm-eval's model class with two methods of ours: what requests share at their beginning is read once.

    Texts are cut into tokens by lm-eval, and long ones are cut on the left as it cuts them. The scores are those of
    each request alone.

    Attributes:
        scorer: reads the texts; its `method` says how.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int = 16, parity_check: int = 0
    ) -> None:
        """Take a loaded model.

        Args:
            model: in eval mode.
            tokenizer: its own.
            batch_size: texts that are generated at a time.
            parity_check: how many requests of each task lm-eval's own code scores too.
        """
        limit = context_of(model) or _TOKENS
        with silence_lm_eval():
            super().__init__(
                pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=batch_size, max_length=limit
            )
        self.scorer = Scorer(model)
        self._parity_check, self._task, self._widest = parity_check, "", 0.0
        self._cut: set[int] = set()
        self._docs: Sequence[int] = ()

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Do as lm-eval does, without its progress bars.

        Raises:
            SettingsError: a continuation is longer than the context.
        """
        self._docs = [request.doc_id for request in requests]
        scores: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return scores

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Return each request's greedy continuation; what all of them share at their beginning is read once.

        Requests that want anything else of generation are left to lm-eval's own code.

        Raises:
            SettingsError: the answers may be longer than the context.
            TunescopeError: lm-eval's own code writes another text.
        """
        asked = [request.args for request in requests]
        wishes = normalize_gen_kwargs(asked[0][1], self.max_gen_toks) if asked else {}
        until, longest = wishes.pop("until", []), wishes.pop("max_gen_toks", 0)
        is_greedy = wishes == {"do_sample": False, "temperature": 0.0}
        if not is_greedy or any(options != asked[0][1] for _, options in asked):
            texts: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
            return texts
        room = self._room(self.max_length, longest)
        ids = [self.tok_encode(context) for context, _ in asked]
        self._cut.update(request.doc_id for request, each in zip(requests, ids, strict=True) if len(each) > room)
        with progress(f"{self._task}: answers", len(ids)) as update:
            prompts = [each[-room:] for each in ids]
            made = generate(self.model, self.tokenizer, prompts, longest, self.batch_size, update, until=until)
        texts = [each.text for each in made]
        for number in _spread(self._parity_check, len(texts)):
            (own,) = super().generate_until([requests[number]], disable_tqdm=True)
            if own != texts[number]:
                raise TunescopeError(
                    f"{self._task}: request {number} is answered {texts[number]!r} here and {own!r} by lm-eval's own "
                    f"code. {_REPORT}"
                )
        return texts

    def begin(self, task: str) -> None:
        """Count anew, for a task."""
        self._task, self._cut, self._widest = task, set(), 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """How the task's requests were read: what a result should say beside its scores.

        `n_cut` counts the items of which a context was cut, each once, however many requests it makes.
        """
        return {"reading": self.scorer.method, "n_cut": len(self._cut), "parity": self._widest}

    def _loglikelihood_tokens(
        self, requests: Sequence[_Request], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return each continuation's log-probability in nats, and whether it is what greedy decoding gives.

        Raises:
            SettingsError: a continuation is longer than the context.
            TunescopeError: lm-eval's own code finds other log-probabilities.
        """
        docs, self._docs = self._docs or range(len(requests)), ()  # a text that is scored whole makes other requests
        passages: list[Passage] = []
        for doc, (_, context, continuation) in zip(docs, requests, strict=True):
            room = self._room(self.max_length + 1, len(continuation))  # the last token is only predicted
            if len(context) > room:
                self._cut.add(doc)
            passages.append(Passage(tuple(context[-room:]), tuple(continuation)))
        with progress(f"{self._task}: tokens", self.scorer.count_tokens(passages)) as update:
            found = self.scorer.score_greedy(passages, update)
        scores = [
            (float(np.sum(each.log_probabilities, dtype=np.float64)), bool(np.all(each.is_first))) for each in found
        ]
        if self._parity_check:
            self._compare(requests, scores)
        return scores

    def _room(self, most: int, continuation: int) -> int:
        """Return how many tokens of a context fit before a continuation."""
        if continuation >= most:
            raise SettingsError(
                f"{self._task}: a continuation has {continuation:,} tokens, and the model's context holds "
                f"{self.max_length:,}; leave the task out, or score a model that reads more"
            )
        return most - continuation

    def _compare(self, requests: Sequence[_Request], scores: Sequence[tuple[float, bool]]) -> None:
        """Score some of the requests, evenly spread over them, with lm-eval's own code."""
        chosen = _spread(self._parity_check, len(requests))
        theirs = super()._loglikelihood_tokens([requests[number] for number in chosen], disable_tqdm=True)
        apart = [abs(scores[number][0] - own) for number, (own, _) in zip(chosen, theirs, strict=True)]
        self._widest = max(self._widest, *apart)
        if self._widest > _PARITY:
            worst = chosen[int(np.argmax(apart))]
            raise TunescopeError(
                f"{self._task}: request {worst} has a log-probability of {scores[worst][0]:.4f} nats here and "
                f"{self._widest:.4f} away from it by lm-eval's own code; at most {_PARITY} is allowed. {_REPORT}"
            )


def _spread(count: int, n: int) -> list[int]:
    """Return `count` of n numbers, evenly spread over them."""
    count = min(count, n)
    return [number * n // count for number in range(count)]
