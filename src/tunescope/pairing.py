"""What stands on both sides of a comparison: two lists paired, by the first way that finds a partner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Paired(NamedTuple, Generic[T]):
    """Pairs, with how each was found; and what is left on either side."""

    pairs: list[tuple[T, T, str]]
    only_a: list[T]
    only_b: list[T]


def pair_up(a: Sequence[T], b: Sequence[T], ways: Mapping[str, Callable[[T], Hashable | None]]) -> Paired[T]:
    """Pair items that agree on the first way that finds a partner; repeats pair in order.

    A way gives an item's key, or None where the item has none.
    """
    pairs: list[tuple[T, T, str]] = []
    left_a, left_b = list(a), list(b)
    for way, key_of in ways.items():
        waiting: dict[Hashable, list[T]] = defaultdict(list)
        for item in reversed(left_b):
            if (key := key_of(item)) is not None:
                waiting[key].append(item)
        rest, taken = [], set()
        for item in left_a:
            key = key_of(item)
            partners = waiting.get(key) if key is not None else None
            if partners:
                partner = partners.pop()
                taken.add(id(partner))
                pairs.append((item, partner, way))
            else:
                rest.append(item)
        left_a, left_b = rest, [item for item in left_b if id(item) not in taken]
    return Paired(pairs, left_a, left_b)
