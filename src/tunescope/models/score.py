"""Log-probabilities of token sequences, exact and without padding.

Sequences are packed one behind the other into batches of one row. The linear layers see a single long matrix, and
attention is computed for each sequence by itself. A beginning that several sequences share (a system prompt) is
computed once per pack. Logits are computed only where a token is scored, for a few positions at a time, and through
the model's own forward pass, so they include its scales and caps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.lazy import require

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PACK = 2048
"""Tokens per pack; a longer sequence is a pack of its own."""
POSITIONS = 128
"""Positions whose logits exist at a time: 128 x 49,152 float32 are 25 MB."""
_SHORTEST_SHARED = 4
"""A common beginning of fewer tokens isn't worth a block of its own."""
_ATTENTION = "tunescope_packed"
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.1}
"""How far, in nats, packed scores may be from the model's own on the probe, before padding is used instead."""


class Passage(NamedTuple):
    """What is scored: the tokens of `target` after those of `context`, which has at least one."""

    context: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """What the model reads: all but the last token of the target, which it only predicts."""
        return (*self.context, *self.target[:-1])


class _Block(NamedTuple):
    """Tokens start..end of a pack, which see the pack's tokens `seen` and each other, causally."""

    start: int
    end: int
    seen: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Pack:
    """Several passages in one row.

    `rows` are the pack's positions whose next token is scored, `targets` those tokens, `owners` (number
    of the passage, how many of its tokens) in the same order.
    """

    ids: list[int]
    positions: list[int]
    blocks: list[_Block]
    rows: list[int]
    targets: list[int]
    owners: list[tuple[int, int]]


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


_BLOCKS: ContextVar[Sequence[_Block]] = ContextVar("blocks")


class Scorer:
    """Scores passages with one model.

    Attributes:
        method: `packed`, or `padded` where the architecture's attention can't be packed.
    """

    def __init__(self, model: PreTrainedModel, pack: int = PACK, positions: int = POSITIONS) -> None:
        """Take a model in eval mode, and the first method whose scores agree with its own logits on a short probe.

        Raises:
            TunescopeError: neither method gives the model's own log-probabilities.
        """
        if pack < 1 or positions < 1:
            raise SettingsError(f"pack {pack}, positions {positions}: expected at least 1 each")
        self.model, self.pack, self.positions = model, pack, positions
        self._empty_output: Any = None  # the decoder's output without its states, for `head`
        for method in ("packed", "padded"):
            self.method = method
            if self._agrees_with_model():
                return
        raise TunescopeError(
            f"{type(model).__name__} can't be scored: "
            "its decoder and its head, run one after the other, don't give the model's own log-probabilities"
        )

    def score(
        self, passages: Sequence[Passage], update: Callable[[int], None] = lambda tokens: None
    ) -> list[NDArray[np.float32]]:
        """Return, for each passage, the log-probability in nats of each of its target's tokens.

        A passage without a target gives an empty array. `update` takes the number of tokens read so far.

        Raises:
            SettingsError: a passage without context.
        """
        torch = require("torch")
        scores_of: dict[int, NDArray[np.float32]] = {}
        for pack in self.read(passages, update):
            targets = torch.tensor(pack.targets, device=pack.states.device)
            scores = []
            with self.head() as head:
                for start in range(0, len(targets), self.positions):
                    logits = head(pack.states[start : start + self.positions])
                    chosen = logits.gather(1, targets[start : start + self.positions, None])[:, 0]
                    scores.append(chosen - logits.logsumexp(dim=1))
            for number, part in pack.parts(torch.cat(scores).cpu().numpy()):
                scores_of[number] = part
        empty = np.zeros(0, np.float32)
        return [scores_of.get(number, empty) for number in range(len(passages))]

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
        done = 0
        for pack in self._packs(passages):
            yield PackStates(self._states(pack), pack.targets, pack.owners)
            done += len(pack.ids)
            update(done)

    @contextmanager
    def head(self) -> Iterator[Callable[[Any], Any]]:
        """Give a function from states [positions, width] to the model's own logits [positions, vocabulary], float32.

        Call it with few positions at a time. It works while the context lasts; `read` and `score` don't.
        """
        with _head_alone(self.model, self._empty_output) as head:
            yield lambda states: head(states[None]).float()

    def _packs(self, passages: Sequence[Passage]) -> Iterator[_Pack]:
        """Cut the passages, longest first, into packs."""
        order = sorted((i for i, p in enumerate(passages) if p.target), key=lambda i: (-len(passages[i].ids), i))
        bins: list[tuple[int, list[int]]] = []  # tokens, passages
        for number in order:
            length = len(passages[number].ids)
            place = next((i for i, (tokens, _) in enumerate(bins) if tokens + length <= self.pack), None)
            if place is None:
                bins.append((length, [number]))
            else:
                bins[place] = (bins[place][0] + length, [*bins[place][1], number])
        for _, numbers in bins:
            yield _pack(passages, sorted(numbers), share=self.method == "packed")

    def _states(self, pack: _Pack) -> Any:
        """Return the states [targets, width] from which the pack's targets are predicted."""
        torch = require("torch")
        with torch.inference_mode():
            out, rows = self._read_packed(pack) if self.method == "packed" else self._read_padded(pack)
            states: Any = out.last_hidden_state.flatten(0, 1)[torch.tensor(rows, device=self.model.device)]
        self._empty_output = replace(out, last_hidden_state=None)
        return states

    def _read_packed(self, pack: _Pack) -> tuple[Any, list[int]]:
        """Return the decoder's output, and the places in it (flat) whose next token is scored."""
        torch = require("torch")
        device = self.model.device
        original = self.model.config._attn_implementation
        token = _BLOCKS.set(pack.blocks)
        try:
            self.model.set_attn_implementation(_register_attention())
            out = self.model.get_decoder()(
                input_ids=torch.tensor([pack.ids], device=device),
                position_ids=torch.tensor([pack.positions], device=device),
                use_cache=False,
            )
        finally:
            self.model.set_attn_implementation(original)
            _BLOCKS.reset(token)
        return out, pack.rows

    def _read_padded(self, pack: _Pack) -> tuple[Any, list[int]]:
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

    def _agrees_with_model(self) -> bool:
        """Tell whether the scores of two short sequences are those of the model's own logits."""
        torch = require("torch")
        size = self.model.config.get_text_config().vocab_size
        numbers = np.random.default_rng(0).integers(0, size, 32)
        first, second = tuple(map(int, numbers[:12])), (*map(int, numbers[:6]), *map(int, numbers[12:30]))
        passages = [Passage(first[:6], first[6:]), Passage(second[:7], second[7:])]
        try:
            ours = self.score(passages)
        except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
            return False  # an architecture that is built otherwise
        bound = _TOLERANCE.get(str(self.model.dtype).removeprefix("torch."), max(_TOLERANCE.values()))
        for passage, scores in zip(passages, ours, strict=True):
            ids = torch.tensor([[*passage.context, *passage.target]], device=self.model.device)
            with torch.inference_mode():
                logits = self.model(input_ids=ids, use_cache=False).logits[0, len(passage.context) - 1 : -1].float()
            theirs = logits.log_softmax(-1).gather(1, ids[0, len(passage.context) :, None])[:, 0].cpu().numpy()
            if not np.allclose(scores, theirs, atol=bound, rtol=0):
                return False
        return True


def _pack(passages: Sequence[Passage], numbers: Sequence[int], share: bool) -> _Pack:
    """Lay passages one behind the other; with `share`, a beginning that several have stands once before them."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number in numbers:
        ids = passages[number].ids
        alone = not share or len(ids) <= _SHORTEST_SHARED
        groups[(-1, number) if alone else ids[:_SHORTEST_SHARED]].append(number)
    pack = _Pack([], [], [], [], [], [])
    for members in groups.values():
        shared = _common(passages, members) if len(members) > 1 else ()
        begin = len(pack.ids)
        seen = (begin, begin + len(shared))
        if shared:
            _append(pack, shared, 0, (begin, begin))
        for number in members:
            context, target = passages[number]
            place = len(pack.ids) - len(shared)  # where the passage would begin, were it whole
            _append(pack, passages[number].ids[len(shared) :], len(shared), seen)
            pack.rows.extend(range(place + len(context) - 1, place + len(context) + len(target) - 1))
            pack.targets.extend(target)
            pack.owners.append((number, len(target)))
    return pack


def _append(pack: _Pack, ids: Sequence[int], position: int, seen: tuple[int, int]) -> None:
    start = len(pack.ids)
    pack.ids.extend(ids)
    pack.positions.extend(range(position, position + len(ids)))
    pack.blocks.append(_Block(start, len(pack.ids), seen))


def _common(passages: Sequence[Passage], members: Sequence[int]) -> tuple[int, ...]:
    """Return the longest common beginning that leaves each passage its last token of context."""
    first = passages[members[0]].context
    length = min(len(passages[number].context) for number in members) - 1
    for number in members[1:]:
        context = passages[number].context
        length = next((i for i in range(length) if context[i] != first[i]), length)
    return first[:length] if length >= _SHORTEST_SHARED else ()


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


def _register_attention() -> str:
    """Register our attention with transformers; return its name."""
    interface = require("transformers").AttentionInterface
    interface.register(_ATTENTION, _attend)
    return _ATTENTION


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each block of the pack.

    `query` is [1, heads, tokens, width of a head], `key` and `value` the same with the model's
    number of key heads; returns [1, tokens, heads, width of a head].
    """
    if s_aux is not None:
        raise NotImplementedError("attention sinks")  # the probe catches it, and such a model is padded
    out = query.new_empty((1, query.shape[2], query.shape[1], value.shape[3]))
    for start, end, (first, last) in _BLOCKS.get():
        k, v = key[:, :, start:end], value[:, :, start:end]
        if last > first:
            k, v = (require("torch").cat([x[:, :, first:last], own], dim=2) for x, own in ((key, k), (value, v)))
        out[:, start:end] = _block(query[:, :, start:end], k, v, scaling, sliding_window, softcap).transpose(1, 2)
    return out, None


def _block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attend causally; the last query sees the last key, and each at most `window` keys."""
    torch = require("torch")
    own, seen = query.shape[2], key.shape[2]
    narrow = window is not None and seen > window
    if softcap is None and own == seen and not narrow:
        return torch.nn.functional.scaled_dot_product_attention(  # type: ignore[no-any-return]
            query, key, value, is_causal=True, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
        )
    ages = torch.arange(seen - own, seen, device=query.device)[:, None] - torch.arange(seen, device=query.device)
    visible = (ages >= 0) & (ages < window) if narrow else ages >= 0
    if softcap is None:
        return torch.nn.functional.scaled_dot_product_attention(  # type: ignore[no-any-return]
            query, key, value, attn_mask=visible, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
        )
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    weights = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    weights = (torch.tanh(weights / softcap) * softcap).masked_fill(~visible, float("-inf"))
    return weights.float().softmax(-1).to(value.dtype) @ value  # type: ignore[no-any-return]
