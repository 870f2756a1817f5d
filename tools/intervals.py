"""How often the intervals that verbs print hold the truth: simulates each kind for docs/proofs/intervals.md.

`python tools/intervals.py` takes some minutes on one core and writes the part of the page between its two markers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tunescope import stats
from tunescope.stats import Estimate
from tunescope.stats.intervals import normal_quantile, wilson_interval
from tunescope.stats.minimal_n import MINIMAL_N

Floats: TypeAlias = NDArray[np.float64]
Trial: TypeAlias = Callable[[np.random.Generator, int], Estimate]

PAGE = Path(__file__).parents[1] / "docs" / "proofs" / "intervals.md"
BEGIN, END = "<!-- simulated -->", "<!-- end of simulated -->"
SIZES = (2, 3, 5, 12, 30, 100)
TRIALS = 2_000
FEWEST_PRINTED = 0.02
"""Part of the trials that must print an interval; of fewer, the coverage isn't given."""


class Family(NamedTuple):
    """Data as one kind of number has it: its name, its true value, and a trial: n → the estimate."""

    name: str
    truth: float
    trial: Trial


class Kind(NamedTuple):
    """A kind of interval: which key of `MINIMAL_N` it has, who prints it, and the families it is tried on."""

    title: str
    key: str
    printed_by: str
    families: Sequence[Family]
    trials: int = TRIALS


def lognormal(sd: float) -> tuple[float, Callable[[np.random.Generator, int], Floats]]:
    """Return the mean and the sampler of lognormal numbers whose logarithms have this standard deviation."""
    return math.exp(sd * sd / 2), lambda rng, n: rng.lognormal(0, sd, n)


def scores(rng: np.random.Generator, n: int) -> Floats:
    """Draw scores of 1 to 5, most of them high; their mean is 4.21."""
    return rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], n, p=[0.02, 0.05, 0.13, 0.3, 0.5])


def wins(rate: float, ties: float, rng: np.random.Generator, n: int) -> Floats:
    """Draw wins, ties and losses."""
    return rng.choice([1.0, 0.5, 0.0], n, p=[rate - ties / 2, ties, 1 - rate - ties / 2])


def sizes_of_groups(rng: np.random.Generator, n: int) -> Floats:
    """Draw how many words n answers have: lognormal, median 60, standard deviation of the logarithms 0.6."""
    return np.maximum(5, np.round(rng.lognormal(math.log(60), 0.6, n)))


def clumped(share: float, correlation: float, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Draw groups whose values are 1 with a share of their own (beta), so that two of a group correlate as given."""
    counts = sizes_of_groups(rng, n)
    own = rng.beta(share * (1 / correlation - 1), (1 - share) * (1 / correlation - 1), n)
    return rng.binomial(counts.astype(int), own).astype(float), counts


def token_means(variation: float, rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Draw groups with means of 1 that vary by this coefficient (gamma), each of values that are skewed too."""
    counts = sizes_of_groups(rng, n)
    own = rng.gamma(1 / variation**2, variation**2, n)
    return rng.gamma(counts * 0.3, 1 / 0.3) * own, counts


def of_column(name: str, truth: float, draw: Callable[..., Floats], estimate: Callable[..., Estimate]) -> Family:
    """Make a family of one column."""
    return Family(name, truth, lambda rng, n: estimate(draw(rng, n)))


def of_groups(
    name: str, truth: float, draw: Callable[..., tuple[Floats, ...]], estimate: Callable[..., Estimate]
) -> Family:
    """Make a family of several columns."""
    return Family(name, truth, lambda rng, n: estimate(*draw(rng, n)))


def normal(rng: np.random.Generator, n: int) -> Floats:
    """Draw normal numbers of mean 0."""
    return rng.normal(0, 1, n)


def kinds() -> Iterator[Kind]:
    """Yield every kind of interval that a verb prints."""
    heavy = partial(stats.mean, heavy_tailed=True)
    yield Kind(
        "Means",
        "a mean",
        "judge (scores, pairs of them), measure (coherence), repair rate, trace (cosines)",
        [
            of_column("normal", 0, normal, stats.mean),
            of_column("uniform", 0.5, lambda rng, n: rng.uniform(0, 1, n), stats.mean),
            of_column("exponential", 1, lambda rng, n: rng.exponential(1, n), stats.mean),
            of_column("lognormal, sd 0.5", *lognormal(0.5), stats.mean),
            of_column("scores of 1 to 5", 4.21, scores, stats.mean),
        ],
    )
    yield Kind(
        "Means of heavy tails: lengths, perplexities, IFD",
        "a heavy-tailed mean",
        "measure, answer, compare, repair, shift",
        [
            of_column("normal", 0, normal, heavy),
            of_column("exponential", 1, lambda rng, n: rng.exponential(1, n), heavy),
            of_column("lognormal, sd 0.75", *lognormal(0.75), heavy),
            of_column("lognormal, sd 1", *lognormal(1.0), heavy),
            of_column(
                "differences of lognormals, sd 1",
                0,
                lambda rng, n: rng.lognormal(0, 1, n) - rng.lognormal(0, 1, n),
                heavy,
            ),
        ],
    )
    yield Kind(
        "Means of scores of seeds, Student's t",
        "a mean of scores",
        "study analyze, study race",
        [of_column("normal", 0, normal, stats.mean_t)],
    )
    yield Kind(
        "Medians",
        "a median",
        "measure, compare",
        [
            of_column("normal", 0, normal, stats.median),
            of_column("exponential", math.log(2), lambda rng, n: rng.exponential(1, n), stats.median),
            of_column("lognormal, sd 1", 1, lognormal(1.0)[1], stats.median),
        ],
    )
    yield Kind(
        "Means over tokens of answers",
        "a mean over groups",
        "shift (KL), measure and judge (several turns)",
        [
            of_groups(f"answers' means vary by {v:.0%}", 1, partial(token_means, v), stats.mean_pooled)
            for v in (0.3, 0.6)
        ]
        + [of_groups("scores of two turns", 4.21, two_turns, partial(stats.mean_pooled, bounds=stats.UNBOUNDED))],
    )
    yield Kind(
        "Heavy-tailed means over groups",
        "a heavy-tailed mean over groups",
        "shift (rank), measure (lengths of several turns)",
        [
            of_groups(
                "answers' means lognormal, sd 1",
                math.exp(0.5),
                heavy_groups,
                partial(stats.mean_pooled, heavy_tailed=True),
            )
        ],
    )
    yield Kind(
        "Shares over groups",
        "a share over groups",
        "shift (classes, words in rows), trace (flagged words), compare (spans gone), judge (first position), bench",
        [
            of_groups(f"share {p:.0%}, correlation {c:g}", p, partial(clumped, p, c), stats.share_pooled)
            for p, c in ((0.5, 0.1), (0.2, 0.02), (0.2, 0.1), (0.2, 0.3), (0.1, 0.1), (0.01, 0.3))
        ],
    )
    yield Kind(
        "Win rates: win 1, tie ½, loss 0",
        "a share over groups",
        "judge, compare (words in common), trace (keywords in common)",
        [
            of_column(f"win rate {p:.0%}, ties {t:.0%}", p, partial(wins, p, t), stats.mean_share)
            for p, t in ((0.5, 0.1), (0.3, 0.4), (0.1, 0.1), (0.05, 0.05))
        ],
    )
    yield Kind(
        "Differences of means, of two sides of n values each",
        "a heavy-tailed difference of means",
        "compare",
        [
            Family("no item in both, exponential", 1.0, partial(two_sides, 0.0)),
            Family("half of the items in both, exponential", 1.0, partial(two_sides, 0.5)),
        ],
    )
    yield Kind(
        "Slopes, and ratios of means (Fieller)",
        "a slope",
        "study analyze",
        [Family("slope, normal", 1.0, a_slope), Family("ratio, normal", 0.5, a_ratio)],
    )
    yield Kind(
        "Thresholds, of n seeds with a score at each dose",
        "a threshold",
        "study analyze",
        [
            Family(f"{doses} doses, the score breaks at {t:.0%}", t, partial(a_threshold, doses, t))
            for doses, places in ((5, (0.1, 0.3, 0.5, 0.7, 0.9)), (11, (0.0, 0.05, 0.5, 0.85, 0.95)))
            for t in places
        ],
        trials=1_000,
    )
    yield Kind(
        "Pearson's r",
        "a Pearson correlation",
        "study analyze",
        [Family(f"normal, r = {r:g}", r, partial(a_correlation, r)) for r in (0.0, 0.5, -0.9)],
        trials=1_000,
    )
    yield Kind(
        "Spearman's rho",
        "a Spearman correlation",
        "measure, shift",
        [
            Family(
                f"normal, rho = {6 / math.pi * math.asin(r / 2):.2f}",
                6 / math.pi * math.asin(r / 2),
                partial(a_rank_correlation, r),
            )
            for r in (0.0, 0.5, -0.9)
        ],
        trials=1_000,
    )
    yield Kind(
        "Length-controlled win rates",
        "a length-controlled share",
        "judge",
        [Family("lengths explain a part", controlled_truth(), a_controlled_share)],
    )
    yield Kind(
        "Agreement: Krippendorff's alpha, Cohen's kappa, overlap of marked text",
        "an agreement",
        "annotate agreement",
        [agreement_family(*each) for each in AGREEMENTS],
        trials=1_000,
    )


def two_turns(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Draw two scores of each question, which are alike in half of the questions."""
    first, second, alike = scores(rng, n), scores(rng, n), rng.random(n) < 0.5
    return first + np.where(alike, first, second), np.full(n, 2.0)


def heavy_groups(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Draw groups whose means are lognormal."""
    counts = sizes_of_groups(rng, n)
    return counts * rng.lognormal(0, 1, n), counts


def two_sides(shared: float, rng: np.random.Generator, n: int) -> Estimate:
    """Draw two sides whose means differ by 1 and which have a part of their items in common."""
    both = int(shared * n)
    base = rng.exponential(1, 2 * n - both)
    first, second = np.full(base.size, np.nan), np.full(base.size, np.nan)
    first[:n] = base[:n] + 1 + rng.normal(0, 0.3, n)
    second[n - both :] = base[n - both :]
    return stats.difference_of_means(first, second, heavy_tailed=True).estimate


def a_slope(rng: np.random.Generator, n: int) -> Estimate:
    """Draw a line through equally spaced doses."""
    x = np.linspace(0, 1, n)
    return stats.slope(x, x + rng.normal(0, 0.3, n))


def a_ratio(rng: np.random.Generator, n: int) -> Estimate:
    """Draw recovered and lost scores per seed."""
    lost = rng.normal(0.2, 0.03, n)
    return stats.ratio_of_means(0.5 * lost + rng.normal(0, 0.02, n), lost)


def a_threshold(doses: int, t: float, rng: np.random.Generator, n: int) -> Estimate:
    """Draw seeds' scores: 0.95 up to the threshold, then 1 less per 100 % of dose, and more spread the lower they are.

    Each seed has a height of its own, and scores of one seed at neighbouring doses are alike.
    """
    x = np.linspace(0, 1, doses)
    behind = np.maximum(0, x - t)
    noise = np.cumsum(rng.normal(0, 0.01, (n, doses)), axis=1) + rng.normal(0, 0.02, (n, doses)) * (1 + 5 * behind)
    return stats.threshold(x.tolist(), (0.95 - behind + noise + rng.normal(0, 0.02, (n, 1))).tolist()).threshold


def a_correlation(r: float, rng: np.random.Generator, n: int) -> Estimate:
    """Draw two correlated normal columns."""
    x = rng.normal(size=n)
    return stats.pearson(x, r * x + math.sqrt(1 - r * r) * rng.normal(size=n), draws=100).r


def a_rank_correlation(r: float, rng: np.random.Generator, n: int) -> Estimate:
    """Draw the same for ranks."""
    x = rng.normal(size=n)
    return stats.spearman(x, r * x + math.sqrt(1 - r * r) * rng.normal(size=n), draws=100).r


def controlled_truth() -> float:
    """Return what the penalised fit gives for very many items."""
    value = a_controlled_share(np.random.default_rng(0), 1_000_000).value
    assert value is not None
    return value


def a_controlled_share(rng: np.random.Generator, n: int) -> Estimate:
    """Draw wins whose log-odds grow with the length, at 40 % for equal lengths."""
    gaps = rng.normal(0.5, 1, n)
    chance = 1 / (1 + np.exp(-(math.log(0.4 / 0.6) + 1.0 * np.tanh(gaps))))
    return stats.share_at_zero((rng.random(n) < chance).astype(float), gaps).at_zero


def noisy(rng: np.random.Generator, n: int, people: int, accuracy: float, shares: Sequence[float]) -> NDArray[np.int64]:
    """Draw what people say of n items [people, items]: the true value with this accuracy, else one by its share."""
    truth = rng.choice(len(shares), n, p=shares)
    guesses = rng.choice(len(shares), (people, n), p=shares)
    return np.asarray(np.where(rng.random((people, n)) < accuracy, truth, guesses), np.int64)


def counts_of(said: NDArray[np.int64], there: NDArray[np.bool_], n_values: int) -> NDArray[np.int64]:
    """Return how many people gave each item each value [items, values]."""
    return np.stack([((said == value) & there).sum(axis=0) for value in range(n_values)], axis=1)


def an_alpha(
    people: int,
    accuracy: float,
    shares: Sequence[float],
    scale: stats.Scale,
    missing: float,
    rng: np.random.Generator,
    n: int,
) -> Estimate:
    """Draw people who mark items, some of them not all; the estimate is alpha."""
    said = noisy(rng, n, people, accuracy, shares)
    counts = counts_of(said, rng.random(said.shape) >= missing, len(shares))
    shared = counts[counts.sum(axis=1) > 1]
    return stats.krippendorff_alpha([stats.coincidences(item[None]) for item in shared], scale)


def a_kappa(accuracy: float, shares: Sequence[float], rng: np.random.Generator, n: int) -> Estimate:
    """Draw a judge and two people an item, who share it."""
    judge, *people = noisy(rng, n, 3, accuracy, shares)
    tables = np.zeros((n, len(shares), len(shares)))
    for said in people:
        tables[np.arange(n), judge, said] += 0.5
    return stats.cohens_kappa(tables, "nominal")


def marked_text(rng: np.random.Generator, n: int) -> NDArray[np.bool_]:
    """Draw what two people mark of n answers of 200 characters [people, items, characters].

    A third of the answers have a fault of 10 to 40 characters. Each person sees it in four of five cases, with ends
    that are off by up to 5, and marks 20 other characters of one answer in ten.
    """
    places = np.arange(200)
    marked = np.zeros((2, n, 200), bool)
    start, length = rng.integers(10, 150, n), rng.integers(10, 41, n)
    has_fault = rng.random(n) < 1 / 3
    for person in range(2):
        seen = has_fault & (rng.random(n) < 0.8)
        begin = start + rng.integers(-5, 6, n)
        end = start + length + rng.integers(-5, 6, n)
        marked[person] = seen[:, None] & (places >= begin[:, None]) & (places < end[:, None])
        other, strays = rng.integers(0, 180, n), rng.random(n) < 0.1
        marked[person] |= strays[:, None] & (places >= other[:, None]) & (places < other[:, None] + 20)
    return marked


def an_alpha_of_characters(rng: np.random.Generator, n: int) -> Estimate:
    """Alpha over the characters of marked answers, with intervals over answers."""
    both = marked_text(rng, n).sum(axis=0)
    counts = [np.stack([2 - item, item], axis=1) for item in both]
    return stats.krippendorff_alpha([stats.coincidences(item) for item in counts], "nominal")


def an_overlap(rng: np.random.Generator, n: int) -> Estimate:
    """F1 of the characters that two people marked."""
    one, other = marked_text(rng, n)
    sums = np.stack([2 * (one & other).sum(axis=1), one.sum(axis=1) + other.sum(axis=1)], axis=1)
    return stats.mean_overlap(sums[:, None, :])


def agreement_family(name: str, trial: Callable[..., Estimate]) -> Family:
    """Make a family whose true value is that of very many items."""
    value = trial(np.random.default_rng(0), 60_000).value
    assert value is not None
    return Family(f"{name} ({value:.2f})", value, trial)


FIVE = (0.4, 0.2, 0.2, 0.1, 0.1)
AGREEMENTS = (
    ("alpha, 5 categories, 4 people", partial(an_alpha, 4, 0.7, FIVE, "nominal", 0.0)),
    ("alpha, 5 categories, 2 people who agree", partial(an_alpha, 2, 0.9, FIVE, "nominal", 0.0)),
    ("alpha, 5 categories, 2 people, by chance", partial(an_alpha, 2, 0.0, FIVE, "nominal", 0.0)),
    ("alpha, a category of 10%, 3 people, some missing", partial(an_alpha, 3, 0.8, (0.9, 0.1), "nominal", 0.2)),
    ("alpha, scores of 1 to 5, 3 people, some missing", partial(an_alpha, 3, 0.7, FIVE, "ordinal", 0.2)),
    ("kappa, verdicts, a judge and 2 people", partial(a_kappa, 0.8, (0.4, 0.2, 0.4))),
    ("alpha over characters, 2 people", an_alpha_of_characters),
    ("overlap, 2 people", an_overlap),
)
"""What `annotate agreement` prints; each name ends in the true value."""


def coverage(family: Family, n: int, trials: int) -> tuple[float | None, float]:
    """Return the part of the printed intervals that hold the truth, and the part of the trials that print one."""
    rng = np.random.default_rng([n, *family.name.encode()])
    held = printed = 0
    for _ in range(trials):
        estimate = family.trial(rng, n)
        if estimate.low is not None and estimate.high is not None:
            printed += 1
            held += estimate.low <= family.truth <= estimate.high
    return (held / printed if printed >= FEWEST_PRINTED * trials else None), printed / trials


def wilson_coverage(n: int) -> tuple[float, float]:
    """Return the mean and the minimum over p, from 0.001 to 0.999, of the exact coverage of Wilson's interval."""
    z = normal_quantile(0.95)
    ends = [wilson_interval(k / n, n, z) for k in range(n + 1)]
    grid = np.linspace(0.001, 0.999, 999)
    chances = np.array([math.comb(n, k) * grid**k * (1 - grid) ** (n - k) for k in range(n + 1)])
    holds = np.array([(low <= grid) & (grid <= high) for low, high in ends])
    exact = (chances * holds).sum(axis=0)
    return float(exact.mean()), float(exact.min())


def null_rejections(n: int, trials: int = 300) -> tuple[float, float]:
    """Return how often answers drawn from the null are called an excess at 5 %, and how often they are rejected at all.

    Texts as trace has them: few are flagged at all, and of those 8 to 20 words in a row; 300 null texts.
    """
    rng = np.random.default_rng(n)
    above = below = 0
    for trial in range(trials):
        counts = sizes_of_groups(rng, 300 + n)
        flagged = np.where(rng.random(300 + n) < 0.06, np.minimum(counts, rng.integers(8, 21, 300 + n)), 0)
        test = stats.excess_test(flagged[:n], counts[:n], flagged[n:], counts[n:], seed=trial, draws=500)
        if test.p is not None and test.statistic is not None and test.p < 0.05:
            above += test.statistic > 0
            below += test.statistic < 0
    return above / trials, below / trials


def lines() -> Iterator[str]:
    """Yield the simulated part of the page."""
    head = " | ".join(f"n = {n}" for n in SIZES)
    for kind in kinds():
        sys.stderr.write(f"{kind.title}\n")
        least = MINIMAL_N[kind.key]
        yield f"### {kind.title}\n"
        yield f"Printed from n = {least} on, by: {kind.printed_by}.\n"
        sizes = sorted({*SIZES, least})
        yield f"| data | {' | '.join(f'n = {n}' for n in sizes)} |"
        yield "|---|" + "---|" * len(sizes)
        for family in kind.families:
            cells = [coverage(family, n, kind.trials) for n in sizes]
            shown = " | ".join(show_coverage(held, printed) for held, printed in cells)
            yield f"| {family.name} | {shown} |"
        yield ""
    yield "### Shares, Wilson\n"
    yield "Printed at every n, by: check, judge, repair. Exact, over 999 shares p from 0.1 % to 99.9 %.\n"
    yield f"| coverage | {head} |"
    yield "|---|" + "---|" * len(SIZES)
    exact = [wilson_coverage(n) for n in SIZES]
    for name, place in (("mean over p", 0), ("minimum over p", 1)):
        yield f"| {name} | " + " | ".join(f"{100 * pair[place]:.1f}" for pair in exact) + " |"
    yield ""
    yield "### Excess of flagged words over the null texts: the permutation test\n"
    yield "Printed at every n, by: trace. The texts are drawn from the null itself, so at most 5 % may be rejected.\n"
    yield f"| rejected, in per cent | {head} |"
    yield "|---|" + "---|" * len(SIZES)
    rejected = [null_rejections(n) for n in SIZES]
    for name, place in (("as an excess", 0), ("as fewer than by chance", 1)):
        yield f"| {name} | " + " | ".join(f"{100 * pair[place]:.1f}" for pair in rejected) + " |"


def show_coverage(held: float | None, printed: float) -> str:
    """Write a coverage in per cent; behind it, where not every sample has an interval, the part that has one."""
    if held is None:
        return "–"
    return f"{100 * held:.1f}" + ("" if printed > 0.995 else f" ({100 * printed:.0f} %)")


def main() -> None:
    """Write the tables into the page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines()) + f"\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
