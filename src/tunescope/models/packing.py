"""Passages in packs of one row each, and attention that stays inside each passage.

Passages that begin alike form a tree: what several share stands once, and each token sees the tokens on its own path
from the root. A beginning whose passages don't fit into one pack is read once, before its packs: a prefix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.models.lazy import require

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SHORTEST_SHARED = 4
"""A common beginning of fewer tokens isn't worth a node of its own."""
_DEEPEST = 200
"""Nodes on a path; beyond, nothing more is shared."""
_SMALL = 256
"""Tokens of a tree up to which it is one block with a mask; of a larger one each node is a block."""
_ATTENTION = "tunescope_packed"


class Passage(NamedTuple):
    """What is scored: the tokens of `target` after those of `context`, which has at least one."""

    context: tuple[int, ...]
    target: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """What the model reads: all but the last token of the target, which it only predicts."""
        return (*self.context, *self.target[:-1])


@dataclass(eq=False, slots=True)
class Prefix:
    """A beginning that is read once, before the packs whose passages all begin with it.

    Attributes:
        ids: its tokens behind those of `before`.
        memory: the keys and values of every attention call for the whole beginning; None until it is read.
    """

    ids: tuple[int, ...]
    before: Prefix | None
    memory: list[tuple[torch.Tensor, torch.Tensor]] | None = None

    @property
    def length(self) -> int:
        """How many tokens the whole beginning has."""
        return len(self.ids) + (self.before.length if self.before else 0)

    def as_pack(self) -> Pack:
        """Return a pack of its own tokens, which are behind those of `before`."""
        begin = self.length - len(self.ids)
        positions = list(range(begin, self.length))
        return Pack(self.before, list(self.ids), positions, [_Block(0, len(self.ids), (), np.array(positions), None)])


@dataclass(frozen=True, eq=False, slots=True)
class _Block:
    """Tokens start..end of a pack, of which none is seen from outside but by blocks that name it in `seen`.

    Attributes:
        seen: ranges of the pack's tokens that stand before the block's on their path, after the prefix, in order.
        depths: where each of the block's tokens stands on its path, from 0 [tokens].
        tree: which of the block's tokens each of them sees [tokens, tokens]; None where it is those before it.
    """

    start: int
    end: int
    seen: tuple[tuple[int, int], ...]
    depths: NDArray[np.int64]
    tree: NDArray[np.bool_] | None
    _visible: dict[int | None, torch.Tensor] = field(default_factory=dict)

    def visible(self, window: int | None, device: Any) -> torch.Tensor:
        """Return which keys each token sees [tokens, keys], each at most `window`: those on its path, then the block's.

        The keys on the path before the block have the depths 0, 1, 2 and so on.
        """
        if window not in self._visible:
            own = self.depths
            keys = np.concatenate([np.arange(own[0]), own])
            ages = own[:, None] - keys
            mask = ages >= 0
            if self.tree is not None:
                mask[:, own[0] :] &= self.tree
            if window is not None:
                mask &= ages < window
            self._visible[window] = require("torch").from_numpy(mask).to(device)
        return self._visible[window]


@dataclass(frozen=True, slots=True)
class Pack:
    """Several passages in one row, which all begin with `prefix`.

    `rows` are the pack's tokens whose next token is scored, `targets` those tokens, `owners` (number
    of the passage, how many of its tokens) in the same order.
    """

    prefix: Prefix | None = None
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    owners: list[tuple[int, int]] = field(default_factory=list)

    @property
    def prefixes(self) -> Iterator[Prefix]:
        """Yield the prefix and those before it."""
        prefix = self.prefix
        while prefix is not None:
            yield prefix
            prefix = prefix.before


@dataclass(frozen=True, slots=True)
class _Node:
    """Tokens that passages share from their token `begin` on, the passages that end with them, and what follows."""

    begin: int
    ids: tuple[int, ...]
    members: tuple[int, ...]
    children: tuple[_Node, ...] = ()

    @property
    def size(self) -> int:
        """Tokens of the node and of all that follows."""
        return len(self.ids) + sum(child.size for child in self.children)

    def all_members(self) -> Iterator[int]:
        """Yield the passages that hold the node's tokens."""
        yield from self.members
        for child in self.children:
            yield from child.all_members()


def plan_packs(passages: Sequence[Passage], most: int, share: bool) -> Iterator[Pack]:
    """Cut the passages that have a target into packs of at most `most` tokens; a longer passage has a pack of its own.

    With `share`, what passages have in common at their beginning is laid once.
    """
    numbers = [number for number, passage in enumerate(passages) if passage.target]
    ids = {number: passages[number].ids for number in numbers}
    if share:
        numbers.sort(key=ids.__getitem__)
        nodes = _grow(numbers, [ids[number] for number in numbers], 0, 0, 0)
    else:
        nodes = [_Node(0, ids[number], (number,)) for number in numbers]
    yield from _fill(passages, nodes, None, most)


def _grow(numbers: Sequence[int], ids: Sequence[tuple[int, ...]], begin: int, known: int, level: int) -> list[_Node]:
    """Return the nodes, from token `begin` on, of sorted passages that agree in their first `known` tokens."""
    nodes: list[_Node] = []
    start = 0
    while start < len(ids):
        first, end = ids[start], start + 1
        while end < len(ids) and ids[end][known : known + 1] == first[known : known + 1]:
            end += 1
        group, theirs = numbers[start:end], ids[start:end]
        start = end
        if level == _DEEPEST:
            nodes.extend(_Node(begin, each[begin:], (number,)) for number, each in zip(group, theirs, strict=True))
            continue
        shared = _count_common(first, theirs[-1], known)  # they are sorted: all of them share it
        if shared - begin < _SHORTEST_SHARED and first != theirs[-1]:
            nodes.extend(_grow(group, theirs, begin, shared, level + 1))
            continue
        ending = sum(len(each) == shared for each in theirs)
        children = _grow(group[ending:], theirs[ending:], shared, shared, level + 1)
        nodes.append(_Node(begin, first[begin:shared], tuple(group[:ending]), tuple(children)))
    return nodes


def _count_common(one: tuple[int, ...], other: tuple[int, ...], known: int) -> int:
    """Return how many tokens two sequences share at their beginning; they share `known` at least."""
    most = min(len(one), len(other))
    return next((i for i in range(known, most) if one[i] != other[i]), most)


def _fill(passages: Sequence[Passage], nodes: Sequence[_Node], prefix: Prefix | None, most: int) -> Iterator[Pack]:
    """Yield packs of nodes behind a prefix, the largest nodes first; what is too large is taken apart."""
    packs: list[tuple[int, list[_Node]]] = []
    large = []
    for size, node in sorted(((node.size, node) for node in nodes), key=lambda each: -each[0]):
        if size > most and node.children:
            large.append(node)
            continue
        place = next((i for i, (tokens, _) in enumerate(packs) if tokens + size <= most), None)
        if place is None:
            packs.append((size, [node]))
        else:
            packs[place] = (packs[place][0] + size, [*packs[place][1], node])
    for _, members in packs:
        pack = Pack(prefix)
        for node in members:
            _lay(passages, pack, node, (), ())
        yield pack
    for node in large:
        yield from _fill(passages, *_take_apart(passages, node, prefix), most)


def _take_apart(
    passages: Sequence[Passage], node: _Node, prefix: Prefix | None
) -> tuple[Sequence[_Node], Prefix | None]:
    """Return what follows a node's beginning, and that beginning as a prefix. No prefix's token predicts a target."""
    shared = min(len(passages[number].context) - 1 for number in node.all_members()) - node.begin
    shared = min(shared, len(node.ids)) if shared >= _SHORTEST_SHARED else 0
    begin, rest = node.begin + shared, node.ids[shared:]
    parts = [_Node(begin, rest + child.ids, child.members, child.children) for child in node.children]
    if node.members:
        parts.append(_Node(begin, rest, node.members))
    return parts, Prefix(node.ids[:shared], prefix) if shared else prefix


def _lay(
    passages: Sequence[Passage], pack: Pack, node: _Node, path: tuple[int, ...], seen: tuple[tuple[int, int], ...]
) -> None:
    """Lay a node and what follows it, as one block if they are small; `path` are the places of the tokens before it.

    `seen` are the same places, as ranges.
    """
    start, depth = len(pack.ids), node.begin
    if node.size > _SMALL or not node.children:
        path = _append(passages, pack, node, path)
        end = len(pack.ids)
        pack.blocks.append(_Block(start, end, seen, np.arange(depth, depth + end - start), None))
        for child in node.children:
            _lay(passages, pack, child, path, (*seen, (start, end)))
        return
    tree = np.zeros((node.size, node.size), np.bool_)
    _grow_tree(passages, pack, node, path, start, tree)
    pack.blocks.append(_Block(start, len(pack.ids), seen, np.array(pack.positions[start:]), tree))


def _grow_tree(
    passages: Sequence[Passage], pack: Pack, node: _Node, path: tuple[int, ...], start: int, tree: NDArray[np.bool_]
) -> None:
    """Lay a node and what follows it; note in `tree` which of the tokens from `start` on each of them sees."""
    begin, before = len(pack.ids) - start, [place - start for place in path if place >= start]
    path = _append(passages, pack, node, path)
    own = slice(begin, len(pack.ids) - start)
    tree[own, before] = True
    tree[own, own] = np.tri(len(node.ids), dtype=np.bool_)
    for child in node.children:
        _grow_tree(passages, pack, child, path, start, tree)


def _append(passages: Sequence[Passage], pack: Pack, node: _Node, path: tuple[int, ...]) -> tuple[int, ...]:
    """Append a node's tokens, and what is scored of the passages that end with it; return the path with them."""
    start = len(pack.ids)
    pack.ids.extend(node.ids)
    pack.positions.extend(range(node.begin, node.begin + len(node.ids)))
    path = (*path, *range(start, len(pack.ids)))
    before = node.begin + len(node.ids) - len(path)  # tokens of the prefix
    for number in node.members:
        context, target = passages[number]
        first = len(context) - 1 - before
        pack.rows.extend(path[first : first + len(target)])
        pack.targets.extend(target)
        pack.owners.append((number, len(target)))
    return path


@dataclass(slots=True)
class _Reading:
    """What attention needs while a pack is read.

    Attributes:
        blocks: the pack's blocks.
        before: the keys and values of each attention call for the prefix, in the order of the calls.
        kept: the same of the whole row, where it is to be a prefix; else None.
        calls: how many attention calls there were so far.
    """

    blocks: Sequence[_Block]
    before: Sequence[tuple[torch.Tensor, torch.Tensor]] = ()
    kept: list[tuple[torch.Tensor, torch.Tensor]] | None = None
    calls: int = 0


_READING: ContextVar[_Reading] = ContextVar("reading")


@contextmanager
def inside_blocks(model: PreTrainedModel, pack: Pack, keep: bool = False) -> Iterator[_Reading]:
    """Make a model attend within the blocks of a pack, and to its prefix, while the context lasts.

    With `keep`, `kept` then has the keys and values of each attention call, with the prefix's.
    """
    original = model.config._attn_implementation
    memory = pack.prefix.memory if pack.prefix else None
    reading = _Reading(pack.blocks, memory or (), [] if keep else None)
    token = _READING.set(reading)
    try:
        model.set_attn_implementation(_register_attention())
        yield reading
    finally:
        model.set_attn_implementation(original)
        _READING.reset(token)


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
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each block of the pack, to what it sees of the pack, and to the pack's prefix.

    `query` is [1, heads, tokens, width of a head], `key` and `value` the same with the model's
    number of key heads; returns [1, tokens, heads, width of a head].
    """
    if s_aux is not None:
        raise NotImplementedError("attention sinks")  # the probe catches it, and such a model is padded
    torch, reading = require("torch"), _READING.get()
    before = [reading.before[reading.calls]] if reading.before else []
    reading.calls += 1
    out = query.new_empty((1, query.shape[2], query.shape[1], value.shape[3]))
    for block in reading.blocks:
        parts = [*before, *((key[:, :, a:b], value[:, :, a:b]) for a, b in (*block.seen, (block.start, block.end)))]
        k, v = parts[0] if len(parts) == 1 else (torch.cat(each, dim=2) for each in zip(*parts, strict=True))
        own = slice(block.start, block.end)
        how = (scaling, sliding_window, softcap, dropout)
        out[:, own] = _attend_in_block(query[:, :, own], k, v, block, how).transpose(1, 2)
    if reading.kept is not None:
        parts = [*before, (key, value)]
        reading.kept.append(tuple(torch.cat(each, dim=2) for each in zip(*parts, strict=True)))
    return out, None


def _attend_in_block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    block: _Block,
    settings: tuple[float | None, int | None, float | None, float],
) -> torch.Tensor:
    """Attend to the keys on each token's path: the last key is the block's last token's."""
    torch, (scaling, window, softcap, dropout) = require("torch"), settings
    seen = key.shape[2]
    if window is not None and seen <= window:
        window = None
    if softcap is None:
        causal = block.tree is None and query.shape[2] == seen and window is None
        mask = None if causal else block.visible(window, query.device)
        return torch.nn.functional.scaled_dot_product_attention(  # type: ignore[no-any-return]
            query, key, value, mask, dropout, causal, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
        )
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    weights = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    weights = torch.tanh(weights / softcap) * softcap
    weights = weights.masked_fill(~block.visible(window, query.device), float("-inf"))
    weights = torch.nn.functional.dropout(weights.float().softmax(-1), dropout)
    return weights.to(value.dtype) @ value  # type: ignore[no-any-return]
