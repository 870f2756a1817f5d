"""Metrics that lm-eval computes in a task's own code: from a question and the model's replies to numbers."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _true_mass(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Return TruthfulQA's MC2: the probability of the true answers, of all answers together."""
    import numpy as np

    log_probabilities = np.array([log_probability for log_probability, _ in results])
    weights = np.exp(log_probabilities - log_probabilities.max())
    true = np.array(doc["mc2_targets"]["labels"]) == 1
    return {"acc": float(weights[true].sum() / weights.sum())}


def _squad(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Return SQuAD's exact match and F1 of words, the best over the answers given; both from 0 to 1."""
    said = _words(results[0])
    golds = [_words(answer) for answer in doc["answers"]["text"]]
    return {"exact": max(float(said == gold) for gold in golds), "f1": max(_f1(said, gold) for gold in golds)}


def _words(text: str) -> list[str]:
    return re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split()


def _f1(said: list[str], gold: list[str]) -> float:
    if not said or not gold:
        return float(said == gold)
    return 2 * (Counter(said) & Counter(gold)).total() / (len(said) + len(gold))


SCORES: dict[str, Callable[[dict[str, Any], Any], dict[str, float]]] = {"true_mass": _true_mass, "squad": _squad}
"""What a task's `score` may name."""
