"""Which systems differ significantly: the difference of every two over shared items, Holm's correction, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from string import ascii_lowercase
from typing import NamedTuple

from tunescope.results.estimates import ALPHA
from tunescope.stats import (
    UNBOUNDED,
    Bounds,
    Estimate,
    PValue,
    Values,
    bounds_of_differences,
    difference_of_means,
    holm,
    mean_t,
    sign_flip_test,
    subtract,
    t_test,
)


class SystemDifference(NamedTuple):
    """The first system minus the second.

    Attributes:
        paired: whether it is over the items that both have; else over each system's own items, which it is where they
            share fewer than two.
        estimate: the mean difference with its t interval, at the level that Holm's correction leaves to this pair.
        p_holm: the p-value corrected for all pairs of systems.
    """

    first: str
    second: str
    paired: bool
    estimate: Estimate
    test: PValue
    p_holm: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p-value is below 5 %."""
        return self.p_holm is not None and self.p_holm < ALPHA


def differences(values: Mapping[str, Mapping[str, float]], bounds: Bounds = UNBOUNDED) -> list[SystemDifference]:
    """Compare every two systems; `values` is system → item → number, none of them beyond `bounds`.

    Paired t-test and interval over shared items; Welch's where there are fewer than two; a sign-flip test where all
    differences are equal. p-values are corrected for all pairs together (Holm 1979). Where that multiplies a p by k,
    its interval has the level 1 - 0.05 / k, so that it holds 0 wherever the corrected p isn't below 0.05.
    """
    pairs = list(combinations(values, 2))
    tests = [_test(values[a], values[b]) for a, b in pairs]
    corrected = holm([test.p for test in tests])
    return [
        SystemDifference(a, b, len(_shared(values[a], values[b])) > 1, estimate, test, p)
        for (a, b), test, p in zip(pairs, tests, corrected, strict=True)
        for estimate in [_estimate(values[a], values[b], _level(test.p, p)).within(bounds_of_differences(bounds))]
    ]


def _level(p: float | None, corrected: float | None) -> float:
    return 1 - ALPHA * (p / corrected if p and corrected else 1)


def _shared(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    return [item for item in first if item in second]


def _gaps(first: Mapping[str, float], second: Mapping[str, float], items: Sequence[str]) -> Values:
    return subtract([first[item] for item in items], [second[item] for item in items])


def _test(first: Mapping[str, float], second: Mapping[str, float]) -> PValue:
    shared = _shared(first, second)
    if len(shared) > 1:
        gaps = _gaps(first, second, shared)
        test = t_test(gaps)
        return test if test.p is not None else sign_flip_test(gaps)
    return difference_of_means(*_side_by_side(first, second)).test


def _estimate(first: Mapping[str, float], second: Mapping[str, float], level: float) -> Estimate:
    shared = _shared(first, second)
    if len(shared) > 1:
        return mean_t(_gaps(first, second, shared), level=level, least_n="a mean")
    return difference_of_means(*_side_by_side(first, second), level=level).estimate


def _side_by_side(
    first: Mapping[str, float], second: Mapping[str, float]
) -> tuple[list[float | None], list[float | None]]:
    """Return two systems' values as columns over the items of either, None where a system has none."""
    items = dict.fromkeys([*first, *second])
    return [first.get(item) for item in items], [second.get(item) for item in items]


def groups(names: Sequence[str], compared: Sequence[SystemDifference]) -> dict[str, str]:
    """Give every system the letters of its groups: two systems that share a letter don't differ significantly.

    The groups are the largest sets without a significant difference (a compact letter display, Piepho 2004), lettered
    in the order of `names`.
    """
    similar: dict[str, set[str]] = {name: set() for name in names}
    for each in compared:
        if not each.is_significant:
            similar[each.first].add(each.second)
            similar[each.second].add(each.first)
    rank = {name: number for number, name in enumerate(names)}
    cliques = sorted(_cliques(set(), set(names), set(), similar), key=lambda c: sorted(rank[name] for name in c))
    letters: dict[str, list[str]] = {name: [] for name in names}
    for number, clique in enumerate(cliques):
        for name in clique:
            letters[name].append(_letter(number))
    return {name: " ".join(of_name) for name, of_name in letters.items()}


def _letter(number: int) -> str:
    more, place = divmod(number, 26)
    return ascii_lowercase[place] + (str(more + 1) if more else "")


def _cliques(
    clique: set[str], candidates: set[str], excluded: set[str], neighbours: Mapping[str, set[str]]
) -> Iterator[frozenset[str]]:
    """Yield the maximal cliques (Bron & Kerbosch 1973, with a pivot)."""
    if not candidates and not excluded:
        yield frozenset(clique)
        return
    pivot = max(candidates | excluded, key=lambda name: len(neighbours[name] & candidates))
    for name in sorted(candidates - neighbours[pivot]):
        yield from _cliques(clique | {name}, candidates & neighbours[name], excluded & neighbours[name], neighbours)
        candidates = candidates - {name}
        excluded = excluded | {name}
