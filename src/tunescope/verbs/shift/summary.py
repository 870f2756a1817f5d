"""What `shift` says: means with intervals over answers, parts of sentences, words, and what couldn't be read."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tunescope.answers import Answer
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.shift.words import GROUPS, Word, frequent, in_vocabulary, vocabulary, words_of
from tunescope.views import Table, View, interval, percent

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.rows import RowSet
    from tunescope.stats import Estimate
    from tunescope.verbs.shift import ShiftSettings
    from tunescope.verbs.shift.pair import Bases

CLASSES = ("unshifted", "marginal", "shifted")
MEANINGS = {
    "kl": "KL(base ‖ tuned), nats",
    "kl_reverse": "KL(tuned ‖ base), nats",
    "base_prob": "base probability of the tuned model's top token",
    "base_rank": "base rank η of it",
    "unshifted": "share of tokens with η = 1",
    "marginal": "share with 1 < η ≤ 3",
    "shifted": "share with η > 3",
    "own_choice": "share that the tuned model itself would choose (1 for its own greedy answers)",
}
PARTS = {"kl_first": "first 5 %", "kl_rest": "rest"}
SEEN = {
    "same": "the same text as the tuned model",
    "bare": "the instruction alone and a line break",
}
SHOWN_WORDS = 12
"""Words of a group that the view lists; the result has all."""
SHOWN_REASONS = 10
OWN = 0.98
"""Share of tokens below which answers aren't the tuned model's greedy ones; rounding may turn a few of those."""
LONGEST = 20
"""Characters of a word that the view shows."""


def outcome(
    settings: ShiftSettings,
    base: Bases,
    answers: Sequence[Answer],
    records: Sequence[dict[str, Any]],
    tokens: pa.Table,
    sets: Sequence[RowSet | None],
    folder: RunFolder,
    unanswered: int,
) -> Outcome:
    """Return the result and the view of a finished comparison; `records` has one per answer."""
    from tunescope.stats import mean_t

    seen = SEEN.get(settings.base_template, f"the instruction in the template {settings.base_template}")
    result: dict[str, Any] = {
        "base": base.name,
        "tuned": settings.tuned,
        "base_template": settings.base_template,
        "answers": len(answers),
        "n_missing": sum(record["reason"] is not None for record in records),
        "tokens": tokens.num_rows,
    }
    if settings.prompts is not None:
        result["unanswered"] = unanswered
    result |= {name: _pooled(records, name, "n_tokens").as_json() for name in MEANINGS}
    result |= {name: _pooled(records, name, name.replace("kl", "n")).as_json() for name in PARTS}
    result["kl_first_minus_rest"] = _first_minus_rest(records)
    result["answer_tokens"] = mean_t([record.get("n_tokens") for record in records]).as_json()
    outside = ("outside_base", "outside_tuned")
    if any(record.get(name) for record in records for name in outside):
        result |= {name: _pooled(records, name, "n_tokens").as_json() for name in outside}
    if settings.top_k is not None:
        result["kl_top_k"] = _pooled(records, "kl_top_k", "n_tokens").as_json() | {"top_k": settings.top_k}
    found = _words(answers, records, tokens)
    result["words"] = _word_summary(found, sets, len(answers))
    view = View(tuple(_sentences(result, seen)), tuple(_tables(result, records, seen)), tuple(_next(settings, folder)))
    return Outcome(result, view)


def _pooled(records: Sequence[dict[str, Any]], name: str, count: str) -> Estimate:
    """Return the mean of a number over all tokens (or sentences), with a bootstrap interval over answers."""
    from tunescope.stats import mean_pooled

    counts = [record.get(count) for record in records]
    sums = [None if n is None else (record[name] or 0.0) * n for record, n in zip(records, counts, strict=True)]
    return mean_pooled(sums, counts)


def _first_minus_rest(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how much further apart the models are where sentences begin, within the sentences that have both parts."""
    from tunescope.stats import n_needed

    apart = _pooled(records, "kl_first_minus_rest", "n_rest")
    record: dict[str, Any] = apart.as_json()
    if apart.value and apart.standard_error and (apart.low or 0) <= 0 <= (apart.high or 0):
        record["n_needed"] = n_needed(apart.value, apart.standard_error * apart.n**0.5).n
    return record


def _words(answers: Sequence[Answer], records: Sequence[dict[str, Any]], tokens: pa.Table) -> list[Word]:
    """Return the words of all answers that were read."""
    columns = tokens.select(["char_end", "class", "sentence"]).to_pylist()
    found: list[Word] = []
    place = 0
    for number, (answer, record) in enumerate(zip(answers, records, strict=True)):
        count = record.get("n_tokens", 0)
        found += words_of(number, answer.text, columns[place : place + count])
        place += count
    return found


def _word_summary(found: Sequence[Word], sets: Sequence[RowSet | None], answers: int) -> dict[str, Any]:
    listed = frequent(found)
    summary: dict[str, Any] = {
        "counts": {kind: sum(one.kind == kind for one in found) for kind in CLASSES},
        "groups": {group: sum(record["count"] for record in listed if record["group"] == group) for group in GROUPS},
        "frequent": listed,
    }
    most: int | None = None
    for name, rows in zip(("in_rows", "in_other_rows"), sets, strict=True):
        if rows is not None:
            known = vocabulary(rows, most)
            most = known.read
            summary[name] = {kind: in_vocabulary(found, kind, known.words, answers) for kind in CLASSES}
            summary[name] |= {"words_read": known.read, "vocabulary": len(known.words)}
    return summary


def _sentences(result: dict[str, Any], seen: str) -> Iterator[str]:
    read = result["answers"] - result["n_missing"]
    yield (
        f"{result['tuned']} beside {result['base']} at {result['tokens']:,} tokens of {read:,} answers; "
        f"the base saw {seen}."
    )
    own = result["own_choice"]["mean"]
    others = own is not None and own < OWN
    what = "of the tokens that the tuned model would choose there" if others else "of the tokens"
    yield (
        f"{percent(result['unshifted']['mean'], 1)} {what} are the base's own first choice, "
        f"{percent(result['shifted']['mean'], 1)} are shifted (not among its first three)."
    )
    if others:
        yield (
            f"Only {percent(own, 1)} of the tokens are what the tuned model itself would choose: these aren't its "
            "greedy answers behind this prompt, for which the definitions are made; it answers with --prompts."
        )
    first, rest, apart = (result[name] for name in ("kl_first", "kl_rest", "kl_first_minus_rest"))
    if apart["mean"] is None or apart["low"] is None:
        return
    sides = f"KL is {first['mean']:.3g} nats where sentences begin and {rest['mean']:.3g} in the rest of them"
    between = f"{apart['mean']:.3g} a sentence, 95 % interval {interval(apart['low'], apart['high'], 3)}"
    if "n_needed" not in apart:
        yield f"{sides} (difference {between})."
    else:
        needed = "more answers than there are" if apart["n_needed"] is None else f"about {apart['n_needed']:,} answers"
        yield f"{sides}: no difference that {apart['n']} answers could show ({between}); you need {needed}."


def _tables(result: dict[str, Any], records: Sequence[dict[str, Any]], seen: str) -> Iterator[Table]:
    more = {"kl_top_k": f"truncated KL of the public code (top {result.get('kl_top_k', {}).get('top_k')} of both)"}
    more |= {f"outside_{which}": f"mass of tokens that only the {which} has" for which in ("base", "tuned")}
    lines = [(name, meaning, *_cells(result[name])) for name, meaning in (MEANINGS | more).items() if name in result]
    yield Table(
        "Token shift",
        ("number", "what it is", "mean", "95 % interval", "answers", "missing"),
        tuple(lines),
        f"Means over {result['tokens']:,} response tokens, the end of the turn left out; percentile bootstrap over "
        f"answers. The base saw {seen} (--base-template {result['base_template']}).",
    )
    yield Table(
        "Where in the sentence (Figure 4 of the Limitations paper)",
        ("tokens of a sentence", "mean KL, nats", "95 % interval", "answers", "missing"),
        tuple((label, *_cells(result[name])) for name, label in PARTS.items()),
        "The mean within each part of a sentence, then over sentences; a sentence of one token has no rest.",
    )
    yield from _word_tables(result["words"])
    reasons = Counter(record["reason"] for record in records if record["reason"])
    if reasons:
        first = {record["reason"]: record["answer_id"] for record in reversed(records) if record["reason"]}
        cells = tuple((reason, count, first[reason]) for reason, count in reasons.most_common(SHOWN_REASONS))
        yield Table("Not read", ("reason", "answers", "for example"), cells)


def _cells(estimate: dict[str, Any]) -> tuple[Any, ...]:
    low, high = estimate["low"], estimate["high"]
    return estimate["mean"], interval(low, high, 3), estimate["n"], estimate["n_missing"]


def _word_tables(words: dict[str, Any]) -> Iterator[Table]:
    total = sum(words["groups"].values())
    lines = []
    for group in GROUPS:
        mine = [record for record in words["frequent"] if record["group"] == group]
        some = ", ".join(f"{record['word'][:LONGEST]} {record['count']}" for record in mine[:SHOWN_WORDS])
        count = words["groups"][group]
        lines.append((group, len(mine), count, percent(count / total if total else None, 0), some))
    yield Table(
        f"The {len(words['frequent'])} most frequent words at shifted and marginal tokens (Figure 12)",
        ("group", "words", "times", "share", "most frequent"),
        tuple(lines),
        "A word has the class of the token that it begins in. opener: mostly first in a sentence; style: in our list "
        "of style words; content: the rest.",
    )
    if "in_rows" not in words:
        return
    sides = [("in_rows", "training rows"), ("in_other_rows", "rows not trained on")]
    shares: list[tuple[Any, ...]] = []
    for name, label in sides:
        for kind in CLASSES if name in words else ():
            share = words[name][kind]
            ends = None if share["low"] is None else [percent(share[side], 1) for side in ("low", "high")]
            shares.append((label, kind, percent(share["mean"], 1), " to ".join(ends) if ends else None, share["words"]))
    sizes = " and ".join(
        f"{words[name]['vocabulary']:,} different words among {words[name]['words_read']:,}"
        for name, _ in sides
        if name in words
    )
    yield Table(
        "Words of the answers that occur in rows",
        ("rows", "words that begin with a token", "share", "95 % interval", "words in answers"),
        tuple(shares),
        f"In the rows there are {sizes} (other rows are read until they have as many words); percentile bootstrap over "
        "answers.",
    )


def _next(settings: ShiftSettings, folder: RunFolder) -> Iterator[str]:
    from tunescope.runs import producing_run

    here = str(folder.path)
    made = producing_run(settings.tuned)
    rows: Sequence[str] = settings.rows
    if not rows and made is not None and made.verb == "tune":
        rows = made.settings["rows"]
    named = shlex.join(rows) if rows else "ROWS"
    yield f"tunescope trace --answers {shlex.quote(here)} --rows {named} --shift {shlex.quote(here)}"
    again = ["tunescope", "shift", "--tuned", settings.tuned, *(["--base", settings.base] if settings.base else [])]
    again += ["--answers", here]
    if not settings.rows:
        yield f"{shlex.join(again)} --rows {named} --other-rows OTHER_ROWS"
    if settings.base_template == "same":
        yield f"{shlex.join(again)} --base-template bare"
