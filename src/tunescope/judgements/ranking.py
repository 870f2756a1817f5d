"""Which systems can be told apart: every pair's difference over shared items, Holm's correction, groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from string import ascii_lowercase
from typing import NamedTuple

from tunescope.results.estimates import ALPHA
from tunescope.stats import Estimate, PValue, holm, mean_t, sign_flip_test, t_test, unpaired_difference


class Difference(NamedTuple):
    """First minus second, over the items that both have, or over each one's own where they share fewer than two."""

    first: str
    second: str
    paired: bool
    estimate: Estimate
    test: PValue
    p_holm: float | None

    @property
    def told_apart(self) -> bool:
        """Whether the corrected p is below 5 %."""
        return self.p_holm is not None and self.p_holm < ALPHA


def differences(values: Mapping[str, Mapping[str, float]]) -> list[Difference]:
    """Compare every two systems; `values` is system → item → number.

    Paired t-test and interval over shared items, Welch's where there are fewer than two; a sign-flip test where all
    differences are equal. p-values are corrected for all pairs together (Holm 1979), intervals aren't.
    """
    found = [(a, b, *_compare(values[a], values[b])) for a, b in combinations(values, 2)]
    corrected = holm([test.p for *_, test in found])
    return [Difference(*each, p) for each, p in zip(found, corrected, strict=True)]


def _compare(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[bool, Estimate, PValue]:
    shared = [item for item in first if item in second]
    if len(shared) > 1:
        gaps = [first[item] - second[item] for item in shared]
        test = t_test(gaps)
        return True, mean_t(gaps), test if test.p is not None else sign_flip_test(gaps)
    apart = unpaired_difference(list(first.values()), list(second.values()), draws=100)  # Welch's draws nothing
    return False, apart.t, apart.test


def groups(names: Sequence[str], found: Sequence[Difference]) -> dict[str, str]:
    """Give every system the letters of the groups it is in: two that share a letter aren't told apart.

    The groups are the largest sets in which no two are told apart (a compact letter display, Piepho 2004), lettered in
    the order of `names`.
    """
    alike: dict[str, set[str]] = {name: set() for name in names}
    for each in found:
        if not each.told_apart:
            alike[each.first].add(each.second)
            alike[each.second].add(each.first)
    place = {name: number for number, name in enumerate(names)}
    cliques = sorted(_cliques(set(), set(names), set(), alike), key=lambda c: sorted(place[name] for name in c))
    letters: dict[str, list[str]] = {name: [] for name in names}
    for number, clique in enumerate(cliques):
        for name in clique:
            letters[name].append(_letter(number))
    return {name: " ".join(found) for name, found in letters.items()}


def _letter(number: int) -> str:
    more, place = divmod(number, 26)
    return ascii_lowercase[place] + (str(more + 1) if more else "")


def _cliques(
    taken: set[str], left: set[str], done: set[str], alike: Mapping[str, set[str]]
) -> Iterator[frozenset[str]]:
    """Yield the largest sets of which every two are alike (Bron & Kerbosch 1973, with a pivot)."""
    if not left and not done:
        yield frozenset(taken)
        return
    pivot = max(left | done, key=lambda name: len(alike[name] & left))
    for name in sorted(left - alike[pivot]):
        yield from _cliques(taken | {name}, left & alike[name], done & alike[name], alike)
        left = left - {name}
        done = done | {name}
