"""pass@k: the chance that at least one of k samples of a problem passes (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tunescope.stats.estimates import Estimate
from tunescope.stats.groups import mean_share


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate pass@k without bias from n samples of which c passed: 1 - C(n-c, k) / C(n, k).

    Written as 1 minus the product of 1 - k/i over the c numbers i from n-c+1 to n: no binomial is formed.

    :raises ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not (0 <= c <= n and 1 <= k <= n):
        raise ValueError(f"n = {n}, c = {c}, k = {k}; expected 0 <= c <= n and 1 <= k <= n")
    if c > n - k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def mean_pass_at_k(samples: Sequence[tuple[int, int]], k: int, *, level: float = 0.95) -> Estimate:
    """Mean of pass@k over problems, each given as (n samples, c that passed), with `mean_share`'s interval over them.

    A problem with fewer than k samples is missing.
    """
    values = [pass_at_k(n, c, k) if n >= k else None for n, c in samples]
    estimate = mean_share(values, level=level)
    if samples and estimate.n == 0:
        most = max(n for n, _ in samples)
        return replace(estimate, reason=f"pass@{k} needs {k} samples a problem; the most that one has is {most}")
    return estimate
