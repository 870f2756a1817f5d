"""What `shift` says: its result in sentences and tables, and the commands to type next."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope.results.estimates import MeanEstimate
from tunescope.results.shift import CLASSES, OWN_CHOICE, ShiftAnswer, ShiftedWords, ShiftResult
from tunescope.results.tune import TuneSetup
from tunescope.runs import producing_run
from tunescope.stats.minimal_n import MINIMAL_N
from tunescope.verbs.shift.words import GROUPS
from tunescope.views import Cell, Table, View, counted, interval, percent, shorten

if TYPE_CHECKING:
    from tunescope.verbs.shift.settings import ShiftSettings

_NUMBERS = {
    "kl": "KL(base ‖ tuned), nats",
    "kl_reverse": "KL(tuned ‖ base), nats",
    "base_prob": "base probability of the tuned model's top token",
    "base_rank": "base rank η of that token",
    "unshifted": "share of tokens with η = 1",
    "marginal": "share with 1 < η ≤ 3",
    "shifted": "share with η > 3",
    "own_choice": "share that the tuned model itself would choose (1 for its own greedy answers)",
    "kl_top_k": "truncated KL of the public code (top {top_k} of both)",
    "outside_base": "probability mass of tokens that only the base has",
    "outside_tuned": "probability mass of tokens that only the tuned model has",
}
_BASE_INPUTS = {
    "same": "the same text as the tuned model",
    "bare": "the instruction alone and a line break",
}
_SHOWN_WORDS = 12
"""Words of a group that the view lists; the result has all."""
_SHOWN_REASONS = 10
_LONGEST = 20
"""Characters of a word that the view shows."""


def view(settings: ShiftSettings, result: ShiftResult, records: Sequence[ShiftAnswer], folder: Path) -> View:
    """Return what a comparison says; `records` has one per answer."""
    base_input = _BASE_INPUTS.get(result.base_template, f"the instruction in the template {result.base_template}")
    return View(
        tuple(_sentences(result, base_input)),
        tuple(_tables(result, records, base_input)),
        tuple(_next_commands(settings, str(folder))),
    )


def _sentences(result: ShiftResult, base_input: str) -> Iterator[str]:
    yield (
        f"{result.tuned} was compared with {result.base} at {result.tokens:,} tokens of "
        f"{counted(result.answers - result.n_missing, 'answer')}. The base saw {base_input}."
    )
    own = result.own_choice.mean
    not_greedy = own is not None and own < OWN_CHOICE
    which = "of the tokens that the tuned model would choose there" if not_greedy else "of the tokens"
    yield (
        f"{percent(result.unshifted.mean, 1)} {which} are the base's first choice too. "
        f"{percent(result.shifted.mean, 1)} are shifted: they aren't among the base's first three choices."
    )
    if not_greedy:
        yield (
            f"The tuned model itself would choose only {percent(own, 1)} of these tokens, so these aren't its greedy "
            "answers to these prompts. The definitions are made for greedy answers: type --prompts to let the "
            "model answer."
        )
    yield from _sentence_parts(result)


def _sentence_parts(result: ShiftResult) -> Iterator[str]:
    """Compare where sentences begin with the rest of them, where there is an interval."""
    apart = result.kl_first_minus_rest
    if apart.mean is None or apart.low is None:
        return
    sides = f"KL is {result.kl_first.mean:.3g} nats in the first 5 % of a sentence and {result.kl_rest.mean:.3g} after."
    difference = f"{apart.mean:.3g} a sentence, 95 % interval {interval(apart.low, apart.high, 3)}"
    if apart.n_needed == 0:
        yield f"{sides} The difference is {difference}."
        return
    needed = "we can't say how many would do" if apart.n_needed is None else f"about {apart.n_needed:,} would do"
    yield f"{sides} We can't tell these apart with {apart.n} answers (difference {difference}); {needed}."


def _tables(result: ShiftResult, records: Sequence[ShiftAnswer], base_input: str) -> Iterator[Table]:
    top_k = result.kl_top_k.top_k if result.kl_top_k else None
    means = {name: getattr(result, name) for name in _NUMBERS if getattr(result, name) is not None}
    yield Table(
        "Token shift",
        ("number", "what it is", "mean", "95 % interval", "answers", "missing"),
        tuple((name, _NUMBERS[name].format(top_k=top_k), *_cells(mean)) for name, mean in means.items()),
        f"Means over {result.tokens:,} response tokens, without the end of the turn. Intervals are over answers; "
        f"they need {MINIMAL_N['a mean over groups']}, base_rank's {MINIMAL_N['a heavy-tailed mean over groups']}. "
        f"The base saw {base_input} (--base-template {result.base_template}).",
    )
    yield Table(
        "Where in the sentence (Figure 4 of the Limitations paper)",
        ("tokens of a sentence", "mean KL, nats", "95 % interval", "answers", "missing"),
        (("first 5 %", *_cells(result.kl_first)), ("rest", *_cells(result.kl_rest))),
        "The mean within each part of a sentence, then over sentences. A sentence of one token has no rest.",
    )
    yield _frequent_words(result.words)
    if result.words.in_rows is not None:
        yield _words_in_rows(result.words)
    reasons = Counter(record.reason for record in records if record.reason)
    if reasons:
        first = {record.reason: record.answer_id for record in reversed(records) if record.reason}
        cells = tuple((reason, count, first[reason]) for reason, count in reasons.most_common(_SHOWN_REASONS))
        yield Table("Not read", ("reason", "answers", "for example"), cells)


def _cells(estimate: MeanEstimate) -> tuple[Cell, ...]:
    return estimate.mean, interval(estimate.low, estimate.high, 3), estimate.n, estimate.n_missing


def _frequent_words(words: ShiftedWords) -> Table:
    total = sum(words.groups.values())
    lines: list[tuple[Cell, ...]] = []
    for group in GROUPS:
        members = [record for record in words.frequent if record.group == group]
        some = ", ".join(f"{shorten(record.word, _LONGEST)} {record.count}" for record in members[:_SHOWN_WORDS])
        count = words.groups[group]
        lines.append((group, len(members), count, percent(count / total if total else None, 0), some))
    return Table(
        f"The {len(words.frequent)} most frequent words at shifted and marginal tokens (Figure 12)",
        ("group", "words", "times", "share", "most frequent"),
        tuple(lines),
        "A word has the class of its first token. opener: more than half of its places begin a sentence. style: in our "
        "list of style words. content: the rest.",
    )


def _words_in_rows(words: ShiftedWords) -> Table:
    sides = {"training rows": words.in_rows, "rows not trained on": words.in_other_rows}
    lines: list[tuple[Cell, ...]] = []
    for label, side in sides.items():
        for name in CLASSES if side is not None else ():
            share = getattr(side, name)
            ends = None if share.low is None else f"{percent(share.low, 1)} to {percent(share.high, 1)}"
            lines.append((label, name, percent(share.mean, 1), ends, share.words))
    sizes = " and ".join(
        f"{side.vocabulary:,} different words among {side.words_read:,}" for side in sides.values() if side is not None
    )
    return Table(
        "Words of the answers that occur in rows",
        ("rows", "words that begin with a token", "share", "95 % interval", "words in answers"),
        tuple(lines),
        f"The rows hold {sizes} (other rows are read until they have as many words). Intervals are over answers.",
    )


def _next_commands(settings: ShiftSettings, folder: str) -> Iterator[str]:
    made = producing_run(settings.tuned)
    rows: Sequence[str] = settings.rows
    if not rows and made is not None and made.verb == "tune":
        rows = TuneSetup.read_settings(made).rows
    named = shlex.join(rows) if rows else "ROWS"
    yield f"tunescope trace --answers {shlex.quote(folder)} --rows {named} --shift {shlex.quote(folder)}"
    again = ["tunescope", "shift", "--tuned", settings.tuned, *(["--base", settings.base] if settings.base else [])]
    again += ["--answers", folder]
    if not settings.rows:
        yield f"{shlex.join(again)} --rows {named} --other-rows OTHER_ROWS"
    if settings.base_template == "same":
        yield f"{shlex.join(again)} --base-template bare"
