"""The HTML of the X-ray's section: the legend with counts, and, for browsers without scripts, every answer's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunescope.results.shift import CLASSES
from tunescope.results.trace import KINDS
from tunescope.verbs.report.page import fill
from tunescope.verbs.report.xray import texts
from tunescope.views import MISSING, percent, show

_MEANINGS = {
    "unshifted": "the tuned model's choice is the base model's first choice too",
    "marginal": "the tuned model's choice is the base model's second or third",
    "shifted": "the base model ranks the tuned model's choice fourth or lower",
}
_KIND_MEANINGS = {
    "verbatim": "the same words in the same order as in a row",
    "near": "the same words except for a few",
    "similar": "similar in meaning, in other words",
}


def xray_html(data: Mapping[str, Any]) -> str:
    """Draw the section's frame; the script fills it from the same data."""
    columns = data["columns"]
    return fill(
        "xray.html.j2",
        columns=columns,
        classes=[(name, _MEANINGS[name], [_share(column["tokens"], name) for column in columns]) for name in CLASSES],
        kinds=[
            (name, _KIND_MEANINGS[name], [_count(column["spans"], name) for column in columns])
            for name in KINDS
            if name != "similar" or any((column["spans"] or {}).get(name) for column in columns)
        ],
        has_shift=any(column["shift"] for column in columns),
        has_trace=any(column["trace"] for column in columns),
        has_attribute=any(column["attribute"] for column in columns),
        flagged=[_flagged(column["flagged"]) for column in columns],
        prompts=texts(data),
    )


def _share(counts: Mapping[str, int] | None, name: str) -> str:
    if counts is None:
        return MISSING
    total = sum(counts.values())
    return f"{counts[name]:,} ({percent(counts[name] / total, 1)})" if total else "0"


def _count(counts: Mapping[str, int] | None, name: str) -> str:
    return MISSING if counts is None else f"{counts[name]:,}"


def _flagged(counts: Mapping[str, Any] | None) -> str:
    """Say how many words are flagged, always with how many would be by chance."""
    if counts is None:
        return MISSING
    text = (
        f"{counts['flagged']:,} of {counts['words']:,}; by chance {show(counts['expected'])}, "
        f"excess {show(counts['excess'])} (n = {counts['n']:,}"
    )
    return text + (f", missing {counts['n_missing']:,})" if counts["n_missing"] else ")")
