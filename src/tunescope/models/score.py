"""Log-probabilities of token sequences, exact and, where the architecture allows it, without padding.

Sequences are packed one behind the other into batches of one row. The linear layers see a single long matrix, and
attention is computed for each sequence by itself. What several sequences share at their beginning (a system prompt,
examples, a question before its choices) is computed once. Logits are computed only where a token is scored, for a few
positions at a time, and through the model's own forward pass, so they include its scales and caps. Where a probe shows
that packing would change the scores, sequences are padded; where padding would, they are read one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.generate import context_of
from tunescope.models.lazy import require
from tunescope.models.packing import Pack, Passage, Prefix, inside_blocks, plan_packs
from tunescope.models.probe import FAILURES, TOLERANCE, in_float32, last_change, own_logits, random_ids
from tunescope.views import reason_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PACK = 2048
"""Tokens per pack; a longer sequence is a pack of its own."""
POSITIONS = 128
"""Positions whose logits exist at a time: 128 x 49,152 float32 are 25 MB."""
_METHODS = ("packed", "padded", "single", "whole")
"""How passages are read: together in one row, in padded rows, one at a time, one at a time without taking the model
apart. The first that gives the model's own log-probabilities is taken."""
_SHORT, _LONG = 12, 30
"""Tokens of the first probe's passages."""
_TARGET = 64
"""Tokens at the end of a probe's passage that are scored."""
_ROUNDING = 0.02
"""Nats, in mean, that a model which can't compute in float32 may be off by on a probe, beyond its padded noise."""


class PackStates(NamedTuple):
    """The model's last hidden states where a pack's targets are predicted.

    Attributes:
        states: [targets, width], on the model's device.
        targets: the token that follows each state.
        owners: the number of each passage and how many of the targets are its own, in the same order.
    """

    states: torch.Tensor
    targets: list[int]
    owners: list[tuple[int, int]]

    def parts(self, values: Any) -> Iterator[tuple[int, Any]]:
        """Cut `values`, with one entry per target, into the passages' parts; yield each with its passage's number."""
        places = np.cumsum([0, *(count for _, count in self.owners)])
        for (number, _), (start, end) in zip(self.owners, pairwise(places), strict=True):
            yield number, values[start:end]


class TargetScores(NamedTuple):
    """Of each token of a passage's target: its log-probability in nats, and whether no token is likelier there.

    Attributes:
        log_probabilities: [tokens].
        is_first: [tokens]; None where it wasn't asked for.
    """

    log_probabilities: NDArray[np.float32]
    is_first: NDArray[np.bool_] | None = None


class Scorer:
    """Scores passages with one model.

    Attributes:
        method: how it reads them, of `_METHODS`; a longer passage than any before may change it.
    """

    def __init__(self, model: PreTrainedModel, pack: int = PACK, positions: int = POSITIONS) -> None:
        """Take a model in eval mode, and the first method whose scores agree with its own logits on a short probe.

        Raises:
            TunescopeError: the model can't be run on token ids alone.
        """
        if pack < 1 or positions < 1:
            raise SettingsError(f"pack {pack}, positions {positions}: expected at least 1 each")
        self.model, self.pack, self.positions = model, pack, positions
        self.method = _METHODS[0]
        self._empty_output: Any = None  # the decoder's output without its states, for `head`
        self._tested = 0
        self._test(_LONG)

    def score(
        self, passages: Sequence[Passage], update: Callable[[int], None] = lambda tokens: None
    ) -> list[NDArray[np.float32]]:
        """Return, for each passage, the log-probability in nats of each of its target's tokens.

        A passage without a target gives an empty array. `update` takes the number of tokens read so far.

        Raises:
            SettingsError: a passage without context.
        """
        return [target.log_probabilities for target in self._score(passages, self.read(passages, update))]

    def count_tokens(self, passages: Sequence[Passage]) -> int:
        """Return how many tokens are read to score passages, with what they share counted once."""
        packs = list(plan_packs(passages, self.pack, share=self.method == "packed"))
        prefixes = {prefix for pack in packs for prefix in pack.prefixes}
        return sum(len(pack.ids) for pack in packs) + sum(len(prefix.ids) for prefix in prefixes)

    def score_greedy(
        self, passages: Sequence[Passage], update: Callable[[int], None] = lambda tokens: None
    ) -> list[TargetScores]:
        """Do the same as `score`, and tell of each of a target's tokens whether it is the model's first choice there.

        Raises:
            SettingsError: a passage without context.
        """
        return self._score(passages, self.read(passages, update), greedy=True)

    def _score(
        self, passages: Sequence[Passage], packs: Iterable[PackStates], greedy: bool = False
    ) -> list[TargetScores]:
        torch = require("torch")
        found: dict[int, TargetScores] = {}
        for pack in packs:
            targets = torch.tensor(pack.targets, device=pack.states.device)
            scores, firsts = [], []
            with self.head() as head:
                for start in range(0, len(targets), self.positions):
                    logits = head(pack.states[start : start + self.positions])
                    expected = targets[start : start + self.positions]
                    scores.append(logits.gather(1, expected[:, None])[:, 0] - logits.logsumexp(dim=1))
                    firsts += [logits.argmax(dim=1) == expected] if greedy else []
            log_probabilities = torch.cat(scores).cpu().numpy()
            is_first = torch.cat(firsts).cpu().numpy() if greedy else None
            for number, own in pack.parts(np.arange(len(targets))):
                found[number] = TargetScores(log_probabilities[own], None if is_first is None else is_first[own])
        empty = TargetScores(np.zeros(0, np.float32), np.zeros(0, np.bool_) if greedy else None)
        return [found.get(number, empty) for number in range(len(passages))]

    def read(
        self, passages: Sequence[Passage], update: Callable[[int], None] = lambda tokens: None
    ) -> Iterator[PackStates]:
        """Run the decoder on a pack of passages at a time; yield the states from which their targets are predicted.

        `head` turns states into logits. Passages without a target are left out.

        Raises:
            SettingsError: a passage without context.
        """
        if not all(passage.context for passage in passages):
            raise SettingsError("found a passage without context; expected at least the start token")
        longest = max((len(passage.ids) for passage in passages if passage.target), default=0)
        self._test(longest)
        yield from self._read(passages, update)

    def _run(self, pack: Pack) -> Any:
        """Return a pack's states; raises `TunescopeError` where the model's own code fails in its number format."""
        try:
            return self._states(pack)
        except FAILURES as error:
            torch = require("torch")
            if self.model.dtype == torch.float32 or isinstance(error, torch.OutOfMemoryError):
                raise
            dtype = str(self.model.dtype).removeprefix("torch.")
            raise TunescopeError(
                f"{type(self.model).__name__} can't read texts in {dtype}: its forward pass fails "
                f"({reason_of(error)}); type --dtype float32"
            ) from error

    def _read(
        self, passages: Sequence[Passage], update: Callable[[int], None] = lambda tokens: None
    ) -> Iterator[PackStates]:
        done = 0
        for pack in plan_packs(passages, self.pack, share=self.method == "packed"):
            done += len(pack.ids) + (self._remember(pack.prefix) if pack.prefix else 0)
            yield PackStates(self._run(pack), pack.targets, pack.owners)
            update(done)

    def _remember(self, prefix: Prefix) -> int:
        """Read a beginning whose keys and values aren't known yet; return how many tokens were read."""
        if prefix.memory is not None:
            return 0
        earlier = self._remember(prefix.before) if prefix.before else 0
        pack = prefix.as_pack()
        with require("torch").inference_mode(), inside_blocks(self.model, pack, keep=True) as reading:
            self._decode(pack)
        prefix.memory = reading.kept
        return earlier + len(pack.ids)

    @contextmanager
    def head(self) -> Iterator[Callable[[Any], Any]]:
        """Give a function from states [positions, width] to the model's own logits [positions, vocabulary], float32.

        Call it with few positions at a time. It works while the context lasts; `read` and `score` don't.
        """
        if self.method == "whole":
            yield lambda states: states
            return
        with _head_alone(self.model, self._empty_output) as head:
            yield lambda states: head(states[None]).float()

    def _states(self, pack: Pack) -> Any:
        """Return the states [targets, width] from which the pack's targets are predicted."""
        torch = require("torch")
        if self.method in ("single", "whole"):
            return torch.cat(list(self._read_alone(pack)))
        with torch.inference_mode():
            out, rows = self._read_packed(pack) if self.method == "packed" else self._read_padded(pack)
            states: Any = out.last_hidden_state.flatten(0, 1)[torch.tensor(rows, device=self.model.device)]
        self._empty_output = replace(out, last_hidden_state=None)
        return states

    def _read_alone(self, pack: Pack) -> Iterator[Any]:
        """Yield the states of each of the pack's passages; of a model that isn't taken apart, its logits."""
        torch, scored = require("torch"), set(pack.rows)
        for block in pack.blocks:
            ids = pack.ids[block.start : block.end]
            rows = [place for place in range(len(ids)) if block.start + place in scored]
            if self.method == "whole":
                yield own_logits(self.model, ids, len(ids) - rows[0])[[row - rows[0] for row in rows]]
                continue
            with torch.inference_mode():
                out = self.model.get_decoder()(input_ids=torch.tensor([ids], device=self.model.device), use_cache=False)
            self._empty_output = replace(out, last_hidden_state=None)
            yield out.last_hidden_state[0, rows]

    def _read_packed(self, pack: Pack) -> tuple[Any, list[int]]:
        """Return the decoder's output, and the places in it (flat) whose next token is scored."""
        with inside_blocks(self.model, pack):
            return self._decode(pack), pack.rows

    def _decode(self, pack: Pack) -> Any:
        torch = require("torch")
        ids, positions = (torch.tensor([each], device=self.model.device) for each in (pack.ids, pack.positions))
        return self.model.get_decoder()(input_ids=ids, position_ids=positions, use_cache=False)

    def _read_padded(self, pack: Pack) -> tuple[Any, list[int]]:
        """Do the same as `_read_packed`, with a line per passage, padded on the right."""
        torch = require("torch")
        device = self.model.device
        longest = max(block.end - block.start for block in pack.blocks)
        ids = torch.zeros((len(pack.blocks), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        rows, scored = [], set(pack.rows)
        for line, block in enumerate(pack.blocks):
            length = block.end - block.start
            ids[line, :length] = torch.tensor(pack.ids[block.start : block.end])
            mask[line, :length] = 1
            rows += [line * longest + place for place in range(length) if block.start + place in scored]
        return self.model.get_decoder()(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False), rows

    def _test(self, length: int) -> None:
        """Choose the method anew where a passage is the first that reaches beyond a window or its like."""
        change = last_change(self.model, self._tested, length)
        if self._tested == 0 or change is not None:
            far = max(length, 2 * (change or 0))
            limit = context_of(self.model)
            self._choose_method(change or 0, far if limit is None else max(_LONG, min(far, limit - 1)))
        self._tested = max(self._tested, length)

    def _choose_method(self, change: int, length: int) -> None:
        """Take the first method, from the present one on, that agrees with the model on a probe.

        Raises:
            TunescopeError: the model can't be run on token ids alone, or isn't causal at that length.
        """
        for in_single_precision in (True, False):
            try:
                with in_float32(self.model) if in_single_precision else nullcontext(False) as is_exact:
                    probe = _ScoreProbe(self, change, length)
                    if not probe.is_causal(is_exact):
                        break
                    self.method = next(m for m in _METHODS[_METHODS.index(self.method) :] if probe.agrees(m, is_exact))
                    return
            except FAILURES as error:  # some architectures name their number format, and can't be widened
                failure = reason_of(error)
        else:
            raise TunescopeError(
                f"{type(self.model).__name__} can't be scored: its forward pass fails on token ids alone ({failure})"
            )
        raise TunescopeError(
            f"{type(self.model).__name__} can't score texts of more than {self._tested or 1:,} tokens: beyond them, "
            "what it expects at a token depends on how many follow; leave longer texts out"
        )


class _ScoreProbe:
    """A few random passages, and the log-probabilities that the model itself gives to their targets.

    A short one, one that begins as it does, the longest, and one that is padded beside it but reaches beyond `change`
    too. The noise of padding is measured once. Packs are tried with the two short ones in one, and behind a prefix.
    """

    def __init__(self, scorer: Scorer, change: int, length: int) -> None:
        self.scorer = scorer
        middle = (change + length) // 2 if change == 0 else min((change + length) // 2, change + _SHORT)
        first, second, *others = random_ids(scorer.model, [_SHORT, _LONG - 6, middle, length + 1])
        self.passages = [Passage(first[:6], first[6:]), Passage(first[:6] + second[:1], second[1:])]
        for ids in others:
            context = max(1, len(ids) - _TARGET)
            self.passages.append(Passage(ids[:context], ids[context:]))
        self.own = [self._score_alone(passage) for passage in self.passages]
        self.noise = math.inf

    def _score_alone(self, passage: Passage) -> NDArray[np.float32]:
        torch = require("torch")
        n = len(passage.target)
        logits = own_logits(self.scorer.model, passage.ids, n).log_softmax(-1)
        scores = logits.gather(1, torch.tensor(passage.target, device=logits.device)[:, None])[:, 0]
        return np.asarray(scores.cpu().numpy(), np.float32)

    def is_causal(self, is_exact: bool) -> bool:
        """Tell whether the longest passage's beginning, read alone, has the scores that it has in the passage."""
        ids = self.passages[-1].ids
        half = self.passages[-2].ids
        n = min(len(half), _TARGET)
        whole = own_logits(self.scorer.model, ids, len(ids) - len(half) + n)[:n]
        part = own_logits(self.scorer.model, ids[: len(half)], n)
        apart = (whole.log_softmax(-1) - part.log_softmax(-1)).abs()
        return float(apart.mean()) <= (TOLERANCE if is_exact else _ROUNDING)

    def agrees(self, method: str, is_exact: bool) -> bool:
        """Tell whether a method gives the model's own scores: in float32 all of them, else up to rounding."""
        if method == "whole":
            return True  # they are the model's own
        if method == "packed" and self._distances(method, pack=1)[0] >= (TOLERANCE if is_exact else math.inf):
            return False
        if is_exact:
            return self._distances(method)[0] < TOLERANCE
        if math.isinf(self.noise):
            self.noise = self._distances("padded")[1]
        bound = _ROUNDING + (2 * self.noise if method == "packed" else 0)
        return self._distances(method)[1] <= bound and self._ignores_neighbours(method, bound)

    def _distances(self, method: str, pack: int | None = None) -> tuple[float, float]:
        """Return how far a method's scores are from the model's own, at most and in mean; infinite where it fails.

        With `pack`, the short passages alone are read, in packs of so many tokens.
        """
        passages = self.passages if pack is None else self.passages[:2]
        scores = self._scores(method, passages, pack)
        if scores is None:
            return math.inf, math.inf
        apart = np.abs(np.concatenate(scores) - np.concatenate(self.own[: len(passages)]))
        return float(apart.max()), float(apart.mean())  # NaN is below no bound

    def _ignores_neighbours(self, method: str, bound: float) -> bool:
        """Tell whether the longest passage has the scores that it has beside other tokens."""
        *others, longest = self.passages
        drawn = random_ids(self.scorer.model, [len(each.ids) + 1 for each in others], seed=1)
        changed = [Passage(ids[:6], ids[6:]) for ids in drawn]
        both = [self._scores(method, [*each, longest]) for each in (others, changed)]
        return all(each is not None for each in both) and np.abs(both[0][-1] - both[1][-1]).mean() <= bound

    def _scores(self, method: str, passages: Sequence[Passage], pack: int | None = None) -> Any:
        """Return a method's scores; None where the architecture is built otherwise."""
        method_before, pack_before = self.scorer.method, self.scorer.pack
        together = sum(len(each.ids) for each in self.passages[:-1])  # all but the longest
        self.scorer.method, self.scorer.pack = method, pack or max(pack_before, together)
        try:
            return [each.log_probabilities for each in self.scorer._score(passages, self.scorer._read(passages))]
        except FAILURES:
            return None
        finally:
            self.scorer.method, self.scorer.pack = method_before, pack_before


@contextmanager
def _head_alone(model: PreTrainedModel, out: Any) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Give a function from states [1, positions, width] to the model's own logits [positions, vocabulary].

    It is the model's forward pass with a decoder that returns the states it is given, in an output like `out`.
    """
    decoder = model.get_decoder()
    place = next((name for name, module in model.named_modules() if module is decoder), "")
    if not place:
        raise AttributeError("no decoder of its own")

    def head(states: torch.Tensor) -> torch.Tensor:
        with require("torch").inference_mode():
            logits: torch.Tensor = model(inputs_embeds=states, use_cache=False).logits
        return logits[0]

    model.set_submodule(place, _pass_through(out))
    try:
        yield head
    finally:
        model.set_submodule(place, decoder)


def _pass_through(out: Any) -> Any:
    """Return a module that returns its `inputs_embeds` as the last states of an output like `out`."""

    def forward(*_: Any, inputs_embeds: Any, **__: Any) -> Any:
        return replace(out, last_hidden_state=inputs_embeds)

    module = require("torch").nn.Module()
    module.forward = forward
    return module
