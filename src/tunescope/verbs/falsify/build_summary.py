"""What was built, per source: rows, reasons, leaks, and the lengths of true and false responses."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope import stats
from tunescope.verbs.falsify.built_pairs import BuiltPair
from tunescope.verbs.falsify.chains import LEAKED, WRONG_ANSWER
from tunescope.verbs.falsify.items import ItemSet
from tunescope.views import Table, View, counted, interval

_DOSES = "0,0.25,0.5,0.75,1"


def summarize(sets: Sequence[ItemSet], pairs: Sequence[BuiltPair], chains: str, file: str) -> dict[str, Any]:
    """Return the run's result: the counts of all sources together, and of each."""
    by_source: dict[str, list[BuiltPair]] = {each.name: [] for each in sets}
    for pair in pairs:
        by_source[pair.plan.placed.source].append(pair)
    return {
        **_count(pairs, chains),
        "chains": chains,
        "sources": {
            each.name: {
                "domain": each.domain,
                "copy": each.copy,
                "licence": each.licence,
                **_count(by_source[each.name], chains),
                "in_benchmarks": dict(each.in_benchmarks),
            }
            for each in sets
        },
        "files": {"rows": file},
    }


def _count(pairs: Sequence[BuiltPair], chains: str) -> dict[str, Any]:
    n_kept = sum(pair.is_kept for pair in pairs)
    counts = {
        "rows": len(pairs),
        "kept": n_kept,
        "changed": 0,
        "dropped": len(pairs) - n_kept,
        "dropped_by": dict(Counter(pair.reason.partition(":")[0] for pair in pairs if pair.reason).most_common()),
        "words": _count_words(pairs),
    }
    return counts if chains == "none" else counts | _count_chains(pairs)


def _count_words(pairs: Sequence[BuiltPair]) -> dict[str, Any]:
    """Return the mean words of true and false responses, and of the difference false - true, over the kept pairs."""
    lengths = [pair.n_words for pair in pairs if pair.n_words is not None]
    true, false = [float(t) for t, _ in lengths], [float(f) for _, f in lengths]
    difference = stats.paired_difference(false, true, heavy_tailed=True)
    return {
        "true": stats.mean(true, heavy_tailed=True).as_json(),
        "false": stats.mean(false, heavy_tailed=True).as_json(),
        "difference": difference.estimate.as_json(),
    }


def _count_chains(pairs: Sequence[BuiltPair]) -> dict[str, Any]:
    asked = [pair.chains for pair in pairs if pair.chains is not None]
    read = [chain for each in asked for chain in each.read]
    kinds = Counter(kind for chain in read for kind in {leak.kind for leak in chain.leaks})
    stated = [each.states_answer for each in asked if not each.reason and each.states_answer is not None]
    return {
        "wrong_answers": sum(each.reason.startswith(WRONG_ANSWER) for each in asked),
        "false_chains": len(read),
        "leaking_chains": sum(bool(chain.leaks) for chain in read),
        "leaks": dict(kinds.most_common()),
        "leaking_rows": sum(any(chain.leaks for chain in each.read) for each in asked),
        "dropped_for_leaks": sum(each.reason.startswith(LEAKED) for each in asked),
        "false_alarms": sum(len(chain.false_alarms) for chain in read),
        "true_chains": len(stated),
        "true_chains_without_answer": stated.count(False),
    }


def view(match_length: bool, result: Mapping[str, Any], path: Path, usage: str) -> View:
    """Return what a person reads."""
    sources: Mapping[str, Mapping[str, Any]] = result["sources"]
    sentences = [
        f"{counted(result['rows'], 'question')} in = {result['kept']:,} kept + {result['dropped']:,} dropped.",
        f"Pairs: {path}. The table items says what happened to each question. {usage}",
    ]
    benchmarks = [
        f"{counted(n, 'question')} of {name} in {file}"
        for name, each in sources.items()
        for file, n in each["in_benchmarks"].items()
    ]
    if benchmarks:
        sentences.append(f"Also in a benchmark, and dropped: {'; '.join(benchmarks)}.")
    sentences.append(_describe_lengths(result["words"]["difference"], match_length))
    tables = [_source_table(sources)]
    reasons = [(name, reason, n) for name, each in sources.items() for reason, n in each["dropped_by"].items()]
    if reasons:
        tables.append(Table("Dropped", ("source", "reason", "questions"), tuple(reasons)))
    if result["chains"] != "none":
        tables.append(_chain_table(sources))
        if result["leaks"]:
            note = "False chains by how they name the right answer; one may do so in several ways."
            tables.append(Table("Leaks", ("how", "chains"), tuple(result["leaks"].items()), note))
    tables.append(_length_table(sources))
    steps = (f"tunescope falsify dose {shlex.quote(str(path))} --dose {_DOSES}",) if result["kept"] else ()
    return View(tuple(sentences), tuple(tables), steps)


def _describe_lengths(difference: Mapping[str, Any], match_length: bool) -> str:
    """Say whether length tells false responses from true ones."""
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    matched = "They were matched in length (--match-length)." if match_length else ""
    if mean is None:
        return "No pair is kept, so nothing can be said of lengths."
    if low is None:
        told = "That is too few pairs for an interval."
    elif low <= 0 <= high:
        told = f"The 95 % interval is {interval(low, high)}."
    else:
        told = f"The 95 % interval is {interval(low, high)}: length is a confound."
        told += "" if match_length else " --match-length chooses false responses of like length."
    compared = f"{abs(mean):.2f} words {'more' if mean > 0 else 'fewer'} than" if mean else "as many words as"
    return f"False responses have {compared} true ones on average. {told} {matched}".strip()


def _source_table(sources: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (name, each["domain"], each["copy"], each["rows"], each["kept"], each["dropped"])
        for name, each in sources.items()
    )
    return Table("Sources", ("source", "domain", "local copy", "questions", "kept", "dropped"), rows)


def _chain_table(sources: Mapping[str, Mapping[str, Any]]) -> Table:
    keys = {
        "wrong_answers": "wrong answer",
        "false_chains": "false chains",
        "leaking_chains": "leaking",
        "leaking_rows": "questions with a leak",
        "dropped_for_leaks": "dropped for it",
        "false_alarms": "false alarms",
        "true_chains_without_answer": "true chains without answer",
    }
    rows = tuple((name, *(each[key] for key in keys)) for name, each in sources.items())
    note = (
        "Wrong answer: the oracle disagrees with the right answer. Leaking: the chain names the right answer. True "
        "chains without answer don't state the right answer. They are kept."
    )
    return Table("Chains", ("source", *keys.values()), rows, note)


def _length_table(sources: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, each in sources.items():
        words, difference = each["words"], each["words"]["difference"]
        shown = interval(difference["low"], difference["high"])
        rows.append((name, difference["n"], words["true"]["mean"], words["false"]["mean"], difference["mean"], shown))
    columns = ("source", "n", "true", "false", "false − true", "95 % interval")
    return Table("Words of responses", columns, tuple(rows), "Means over pairs.")
