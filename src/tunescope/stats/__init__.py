"""Estimates with intervals, tests and sample sizes: pure functions over columns of numbers.

A column is a sequence of floats or a 1-D array. None and NaN are missing values: they are counted in `n_missing` and
never averaged. A pair with a missing half is missing. What can't be estimated is None with a `reason`, never 0 or
NaN. A mean without an interval (one value, all equal, or fewer values than `minimal_n.MINIMAL_N` asks for) keeps its
value. Tests draw with a seed and work in chunks of about 2 MB.

Every function raises ValueError for a column that is not 1-D or paired columns of unequal length, and
SettingsError (a ValueError) for a level outside (0, 1), fewer than 100 draws or a power that makes no sense.
"""

from tunescope.stats.agreement import Scale, cohens_kappa, coincidences, krippendorff_alpha, mean_overlap
from tunescope.stats.cuts import null_threshold
from tunescope.stats.differences import (
    difference_of_means,
    holm,
    mcnemar,
    paired_difference,
    ratio_of_means,
    sign_flip_test,
    subtract,
    t_test,
)
from tunescope.stats.equivalence import (
    Equivalence,
    equivalence_margin,
    equivalence_of_means,
    equivalence_of_paired_shares,
    equivalence_of_pairs,
    equivalence_of_shares,
    equivalence_of_strata,
)
from tunescope.stats.estimates import (
    COSINE,
    FROM_0,
    FROM_1,
    SHARE,
    UNBOUNDED,
    Bounds,
    ControlledShare,
    Correlation,
    Difference,
    Estimate,
    Power,
    PValue,
    Values,
    bounds_of_differences,
    widest,
)
from tunescope.stats.groups import (
    clustered_standard_error,
    excess_test,
    mean_pooled,
    mean_share,
    share_clustered,
    share_of_strata,
    share_pooled,
    sum_clusters,
)
from tunescope.stats.growth import Share, difference_of_shares, growth_test
from tunescope.stats.logistic import share_at_zero
from tunescope.stats.means import (
    Misses,
    binomial_test,
    mean,
    mean_t,
    median,
    misses_of_proportion,
    proportion,
    proportion_from_counts,
)
from tunescope.stats.relations import pearson, slope, spearman
from tunescope.stats.sample_size import detectable_difference, n_needed
from tunescope.stats.samples import mean_pass_at_k, pass_at_k
from tunescope.stats.threshold import LeftOutErrors, ThresholdFit, left_out_errors, threshold

__all__ = [
    "COSINE",
    "FROM_0",
    "FROM_1",
    "SHARE",
    "UNBOUNDED",
    "Bounds",
    "ControlledShare",
    "Correlation",
    "Difference",
    "Equivalence",
    "Estimate",
    "LeftOutErrors",
    "Misses",
    "PValue",
    "Power",
    "Scale",
    "Share",
    "ThresholdFit",
    "Values",
    "binomial_test",
    "bounds_of_differences",
    "clustered_standard_error",
    "cohens_kappa",
    "coincidences",
    "detectable_difference",
    "difference_of_means",
    "difference_of_shares",
    "equivalence_margin",
    "equivalence_of_means",
    "equivalence_of_paired_shares",
    "equivalence_of_pairs",
    "equivalence_of_shares",
    "equivalence_of_strata",
    "excess_test",
    "growth_test",
    "holm",
    "krippendorff_alpha",
    "left_out_errors",
    "mcnemar",
    "mean",
    "mean_overlap",
    "mean_pass_at_k",
    "mean_pooled",
    "mean_share",
    "mean_t",
    "median",
    "misses_of_proportion",
    "n_needed",
    "null_threshold",
    "paired_difference",
    "pass_at_k",
    "pearson",
    "proportion",
    "proportion_from_counts",
    "ratio_of_means",
    "share_at_zero",
    "share_clustered",
    "share_of_strata",
    "share_pooled",
    "sign_flip_test",
    "slope",
    "spearman",
    "subtract",
    "sum_clusters",
    "t_test",
    "threshold",
    "widest",
]
