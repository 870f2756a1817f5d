"""Passages one behind the other in one row, and attention that stays inside each.

A beginning that several passages share is a block of its own, which all of them see.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.models.lazy import require

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SHORTEST_SHARED = 4
"""A common beginning of fewer tokens isn't worth a block of its own."""
_ATTENTION = "tunescope_packed"


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
class Pack:
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


_BLOCKS: ContextVar[Sequence[_Block]] = ContextVar("blocks")


def pack_passages(passages: Sequence[Passage], numbers: Sequence[int], share: bool) -> Pack:
    """Lay passages one behind the other; with `share`, a beginning that several have stands once before them."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number in numbers:
        ids = passages[number].ids
        alone = not share or len(ids) <= _SHORTEST_SHARED
        groups[(-1, number) if alone else ids[:_SHORTEST_SHARED]].append(number)
    pack = Pack([], [], [], [], [], [])
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


def _append(pack: Pack, ids: Sequence[int], position: int, seen: tuple[int, int]) -> None:
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
def inside_blocks(model: PreTrainedModel, blocks: Sequence[_Block]) -> Iterator[None]:
    """Make a model attend within the blocks of a pack while the context lasts."""
    original = model.config._attn_implementation
    token = _BLOCKS.set(blocks)
    try:
        model.set_attn_implementation(_register_attention())
        yield
    finally:
        model.set_attn_implementation(original)
        _BLOCKS.reset(token)


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
