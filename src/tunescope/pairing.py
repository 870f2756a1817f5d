"""Pairing the items of two lists: by the first key on which two of them agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Pairing(NamedTuple, Generic[T]):
    """Pairs as (item of A, item of B, name of the key), and the items without a partner."""

    pairs: list[tuple[T, T, str]]
    only_a: list[T]
    only_b: list[T]


def pair_up(a: Sequence[T], b: Sequence[T], keys: Mapping[str, Callable[[T], Hashable | None]]) -> Pairing[T]:
    """Pair items by the first of several keys on which two agree; items with the same key pair in order.

    Each function in `keys` returns an item's key, or None where it has none.
    """
    pairs: list[tuple[T, T, str]] = []
    only_a, only_b = list(a), list(b)
    for name, key_of in keys.items():
        partners: dict[Hashable, list[T]] = defaultdict(list)
        for item in reversed(only_b):
            if (key := key_of(item)) is not None:
                partners[key].append(item)
        unpaired: list[T] = []
        taken: set[int] = set()
        for item in only_a:
            key = key_of(item)
            if key is not None and partners.get(key):
                partner = partners[key].pop()
                taken.add(id(partner))
                pairs.append((item, partner, name))
            else:
                unpaired.append(item)
        only_a, only_b = unpaired, [item for item in only_b if id(item) not in taken]
    return Pairing(pairs, only_a, only_b)
