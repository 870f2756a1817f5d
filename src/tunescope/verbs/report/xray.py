"""The answers, and their X-ray: token by token, with the rows whose words they borrow and that taught them, as JSON.

Offsets on the page count UTF-16 units, as JavaScript does; in runs they count characters (code points).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import isfinite
from os.path import commonpath, dirname
from typing import TYPE_CHECKING, Any

from tunescope.errors import RunError
from tunescope.models.names import ModelNames
from tunescope.oracle.endings import ending_of
from tunescope.results.attribute import AttributedAnswer, AttributeResult, NamedRow
from tunescope.results.claims import ClaimAnswer
from tunescope.results.shift import CLASSES, ShiftAnswer, ShiftResult, ShiftTokens
from tunescope.results.trace import KINDS, ListedRow, SpanRow, TracedAnswer, TraceSpan
from tunescope.verbs.report.columns import Column
from tunescope.verbs.report.names import place_label
from tunescope.views import shorten

if TYPE_CHECKING:
    from tunescope.answers import Answer, Place
    from tunescope.runs import Run

_DIGITS = 3
"""Significant digits of the numbers on the page."""
_DIGITS_36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_SHOWN_ROWS = 5
"""Rows shown of a borrowed span, the most likely ones. The others are in the run's `spans.jsonl`."""
_LINE = 90
"""Characters of a prompt in the list of prompts."""
_AROUND = 600
"""Characters of a row's text shown before and after the stretches that it shares."""


@dataclass(slots=True)
class Layers:
    """What the shift, trace and attribute runs of a column hold, by answer id."""

    tokens: dict[str, ShiftTokens] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    spans: dict[str, list[TraceSpan]] = field(default_factory=dict)
    flagged: dict[str, TracedAnswer] = field(default_factory=dict)
    taught: dict[str, AttributedAnswer] = field(default_factory=dict)
    claims: dict[str, list[list[str]]] = field(default_factory=dict)
    """Of judged answers: each claim, whether the answer states it, and the phrase that was found ("" for none)."""


class _Registry:
    """Strings and rows that are written once on the page and referred to by number."""

    def __init__(self) -> None:
        """Start without strings and rows."""
        self.strings: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []

    def string(self, text: str) -> int:
        """Return the number of a string, from 1."""
        return self.strings.setdefault(text, len(self.strings) + 1)


def xray(columns: Sequence[Column], names: ModelNames, judged: Sequence[Run] = ()) -> dict[str, Any] | None:
    """Return the data of all places, with what shift, trace, attribute and `judge claims` say; None without answers.

    Raises:
        RunError: a table doesn't fit the answers.
    """
    claims: dict[str, list[list[str]]] = {}
    for each in (each for run in judged for each in ClaimAnswer.read_rows(run)):
        claims.setdefault(each.answer_id, []).append([each.claim_id, each.standing, each.phrase or ""])
    layers = [_layers(column, claims) for column in columns]
    places = {place: None for column in columns for place in column.answers}
    if not places:
        return None
    registry = _Registry()
    both = list(zip(columns, layers, strict=True))
    parts = [
        (column, layer, _Rows(_windows(column, layer, registry), _named_rows(column, registry)))
        for column, layer in both
    ]
    prompts = [_prompt(place, parts, registry) for place in places]
    _shorten_places(registry.rows)
    return {
        "columns": [_about(*pair, names, [prompt["answers"][n] for prompt in prompts]) for n, pair in enumerate(both)],
        "prompts": prompts,
        "strings": list(registry.strings),
        "rows": registry.rows,
    }


def _shorten_places(rows: Sequence[dict[str, Any]]) -> None:
    """Leave out the folder that all rows' files lie in, where it is written out; provenance has it."""
    if rows and all(row["place"].startswith("/") for row in rows):
        folder = commonpath([dirname(row["place"]) for row in rows])
        for row in rows:
            row["place"] = row["place"].removeprefix(folder).lstrip("/")


def _layers(column: Column, claims: dict[str, list[list[str]]]) -> Layers:
    layers = Layers(claims=claims)
    if "shift" in column.runs:
        run = column.runs["shift"]
        tokens, answers = ShiftTokens.read(run), ShiftAnswer.read_rows(run)
        layers.tokens = {each.answer_id: tokens.slice(0, 0) for each in answers} | tokens.by_answer()
        layers.reasons = {each.answer_id: each.reason for each in answers if each.reason}
    if "trace" in column.runs:
        run = column.runs["trace"]
        layers.flagged = {each.answer_id: each for each in TracedAnswer.read_rows(run)}
        for span in TraceSpan.read_lines(run):
            layers.spans.setdefault(span.answer_id or "", []).append(span)
    if "attribute" in column.runs:
        layers.taught = {each.answer_id: each for each in AttributeResult.read(column.runs["attribute"]).answers}
    return layers


def _about(
    column: Column, layers: Layers, names: ModelNames, shown: Sequence[Mapping[str, Any] | None]
) -> dict[str, Any]:
    """Describe a column, with counts over the answers shown."""
    shift, trace, attribute = (column.runs.get(verb) for verb in ("shift", "trace", "attribute"))
    answers = [answer for answer in shown if answer is not None]
    classes = "".join(answer["classes"] for answer in answers if "classes" in answer)
    spans = [span for answer in answers for span in answer.get("spans", ())]
    traced = [layers.flagged[answer["id"]] for answer in answers if answer["id"] in layers.flagged]
    counts = [(each.tokens or 0, each.flagged or 0, each.expected) for each in traced if each.expected is not None]
    return {
        "name": column.name,
        "base": names.of_model(ShiftResult.read(shift).base) if shift else None,
        "shift": str(shift.path) if shift else None,
        "trace": str(trace.path) if trace else None,
        "attribute": str(attribute.path) if attribute else None,
        "answers": len(answers),
        "tokens": {name: classes.count(name[0]) for name in CLASSES} if shift else None,
        "spans": {name: sum(span["kind"] == name for span in spans) for name in KINDS} if trace else None,
        "flagged": {
            "n": len(counts),
            "n_missing": len(answers) - len(counts),
            "words": sum(words for words, _, _ in counts),
            "flagged": sum(flagged for _, flagged, _ in counts),
            "expected": digits(sum(expected for *_, expected in counts)),
            "excess": digits(sum(flagged - expected for _, flagged, expected in counts)),
        }
        if trace
        else None,
    }


def _prompt(place: Place, parts: Sequence[tuple[Column, Layers, _Rows]], registry: _Registry) -> dict[str, Any]:
    first = next(column.answers[place] for column, _, _ in parts if place in column.answers)
    answers = []
    for column, layers, rows in parts:
        answer = column.answers.get(place)
        answers.append(None if answer is None else _answer(answer, layers, rows, column, registry))
    return {
        "called": place_label(place),
        "id": place.prompt_id,
        "turn": place.turn,
        "sample": place.sample,
        "prompt": first.prompt,
        "line": shorten(" ".join(first.prompt.split()), _LINE),
        "answers": answers,
    }


def _answer(answer: Answer, layers: Layers, rows: _Rows, column: Column, registry: _Registry) -> dict[str, Any]:
    units = _units_of(answer.text)
    shown: dict[str, Any] = {
        "id": answer.answer_id,
        "text": answer.text,
        "cut": ending_of(answer.finish_reason) == "cut",
    }
    tokens = layers.tokens.get(answer.answer_id)
    if tokens is not None:
        shown |= _compact(tokens, units, f"{column.runs['shift'].path}: answer {answer.answer_id}", registry)
    if answer.answer_id in layers.reasons:
        shown["reason"] = layers.reasons[answer.answer_id]
    if "trace" in column.runs:
        here = f"{column.runs['trace'].path}: answer {answer.answer_id}"
        shown["spans"] = list(_spans(layers.spans.get(answer.answer_id, []), units, rows.windows, here, registry))
        if answer.answer_id in layers.flagged:
            counts = layers.flagged[answer.answer_id]
            shown |= {"words": counts.tokens, "flagged": counts.flagged}
            shown |= {"expected": digits(counts.expected), "excess": digits(counts.excess)}
    if answer.answer_id in layers.claims:
        shown["claims"] = layers.claims[answer.answer_id]
    if answer.answer_id in layers.taught:
        shown["taught"] = _taught(layers.taught[answer.answer_id], rows.named, column.runs["attribute"])
    return shown


def _taught(answer: AttributedAnswer, named: Mapping[str, int], run: Run) -> dict[str, Any]:
    """Return the rows that taught an answer, best first, and how many matter, or why that isn't known."""
    rows = []
    for row in answer.rows:
        if row.row_id not in named:
            raise RunError(
                f"{run.path}: found row {row.row_id} for answer {answer.answer_id}; expected it in named.jsonl"
            )
        scores = {name: digits(getattr(row, name)) for name in ("words", "meaning", "states", "effect")}
        rows.append(
            {
                "row": named[row.row_id],
                "how": row.how,
                "copied": row.copied,
                "matters": row.matters,
                **{name: score for name, score in scores.items() if score is not None},
            }
        )
    return {"matters": answer.matters, "reason": answer.reason, "rows": rows}


def _compact(tokens: ShiftTokens, units: Sequence[int], here: str, registry: _Registry) -> dict[str, Any]:
    """Return token lengths, class letters, ranks, probabilities, KLs and top choices in few characters.

    Lengths are base-36 digits where they fit. Probabilities and KLs are in thousandths. Top choices are sparse (see
    `_top_choices`), since most tokens are both models' top choice.
    """
    starts, ends = tokens.char_start, tokens.char_end
    places = [*starts[:1], *ends]  # a chat template may strip white space before the first and behind the last
    if starts != places[: len(starts)] or [0, *places, len(units) - 1] != sorted([0, *places, len(units) - 1]):
        raise RunError(f"{here}: found tokens with gaps or beyond the text; each must begin where the last ended")
    lengths = [end - start for start, end in pairwise(units[place] for place in places)]
    kls = [value for value in tokens.kl if value is not None and isfinite(value)]
    return {
        **({"lead": units[starts[0]]} if starts and starts[0] else {}),
        "lengths": "".join(_DIGITS_36[n] for n in lengths) if max(lengths, default=0) < len(_DIGITS_36) else lengths,
        "classes": "".join(name[0] if name in CLASSES else "-" for name in tokens.token_class),
        "ranks": tokens.base_rank,
        "probs": list(map(_thousandths, tokens.base_prob)),
        "kls": list(map(_thousandths, tokens.kl)),
        "base_tops": _top_choices(tokens.base_top_token, tokens.token, -1, registry),
        "tops": _top_choices(tokens.top_token, tokens.token, 0, registry),
        "mean_kl": digits(sum(kls) / len(kls)) if kls else None,
        "n": len(kls),
    }


def _top_choices(choices: Sequence[str | None], tokens: Sequence[str], missing: int, registry: _Registry) -> list[int]:
    """Return (distance from the last one, number of its string) of each top choice that isn't the token itself."""
    flat, last = [], 0
    for place, (choice, token) in enumerate(zip(choices, tokens, strict=True)):
        string = missing if choice is None else 0 if choice == token else registry.string(choice)
        if string:
            flat += [place - last, string]
            last = place
    return flat


def _thousandths(value: float | None) -> float | None:
    return None if value is None else digits(1000 * value)


def _spans(
    spans: Sequence[TraceSpan], units: Sequence[int], windows: _Windows, here: str, registry: _Registry
) -> Iterator[dict[str, Any]]:
    last = 0
    for span in spans:
        start, end = span.char_start, span.char_end
        if not last <= start < end < len(units):
            raise RunError(f"{here}: found a span at {start} to {end}; expected spans in order inside the text")
        last = end
        shown = {
            "start": units[start],
            "end": units[end],
            **{name: getattr(span, name) for name in ("kind", "words", "count", "n_row_groups")},
            **{name: digits(getattr(span, name)) for name in ("bits", "ref_bits", "contrast_bits", "p_null", "score")},
            "evidence": list(span.evidence),
            "null": registry.string(span.null_source or "none given"),
            "rows": [_row(row, units, windows, here) for row in span.rows[:_SHOWN_ROWS]],
            "more": max(0, len(span.rows) - _SHOWN_ROWS),
        }
        if span.shift is not None:
            shown["shift"] = {name: digits(value) for name, value in span.shift.as_json().items()}
        yield shown


def _row(row: SpanRow, units: Sequence[int], windows: _Windows, here: str) -> list[Any]:
    """Return row and field number, edits, rows with this text, bits, BM25, cosine and shared stretches of a row."""
    window = windows.get((row.row_id, row.field))
    if window is None:
        raise RunError(f"{here}: found a span of row {row.row_id}, {row.field}; expected it in rows.jsonl")
    shared = [
        [units[a], units[b], window.units[c - window.start], window.units[d - window.start]]
        for a, b, c, d in row.shared
    ]
    scores = [digits(score) for score in (row.chain_bits, row.prompt_bm25, row.cosine)]
    return [window.row, window.number, row.edits, row.group_size, *scores, shared]


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a row's field that the page shows: which row, which field, from which character."""

    row: int
    number: int
    start: int
    units: Sequence[int]


_Windows = dict[tuple[str, str], _Window]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that a column's answers show, in the registry: windows into those of spans, and the rows that taught."""

    windows: _Windows
    named: Mapping[str, int]


def _windows(column: Column, layers: Layers, registry: _Registry) -> _Windows:
    """Add the rows of the shown spans to the registry, each field cut to the text around the shared words."""
    if "trace" not in column.runs:
        return {}
    run = column.runs["trace"]
    reach: dict[tuple[str, str], tuple[int, int]] = {}
    for span in (span for spans in layers.spans.values() for span in spans):
        for row in span.rows[:_SHOWN_ROWS]:
            key, ends = (row.row_id, row.field), [end for stretch in row.shared for end in stretch[2:]]
            low, high = reach.get(key, (row.row_char_start, row.row_char_end))
            reach[key] = (min(low, row.row_char_start, *ends), max(high, row.row_char_end, *ends))
    row_ids = {row_id for row_id, _ in reach}
    windows: _Windows = {}
    for listed in (each for each in ListedRow.read_lines(run) if each.row_id in row_ids):
        fields = []
        for number, (name, text) in enumerate(listed.fields.items()):
            low, high = reach.get((listed.row_id, name), (0, 0))
            if high > len(text):
                raise RunError(f"{run.path}: row {listed.row_id}: {name} has {len(text)} characters, not {high}")
            start, end = max(0, low - _AROUND), min(len(text), high + _AROUND)
            windows[listed.row_id, name] = _Window(len(registry.rows), number, start, _units_of(text[start:end]))
            fields.append([name, text[start:end], start, len(text) - end])
        lineage = [json.dumps(step, ensure_ascii=False) for step in listed.lineage]
        registry.rows.append({"id": listed.row_id, "place": str(listed.location), "fields": fields, "lineage": lineage})
    return windows


def _named_rows(column: Column, registry: _Registry) -> dict[str, int]:
    """Add the rows that taught the column's answers to the registry; return their numbers by row id."""
    if "attribute" not in column.runs:
        return {}
    numbers = {}
    for row in NamedRow.read_lines(column.runs["attribute"]):
        numbers[row.row_id] = len(registry.rows)
        most = 2 * _AROUND
        fields = [[role, text[:most], 0, max(0, len(text) - most)] for role, text in row.texts]
        registry.rows.append({"id": row.row_id, "place": str(row.location), "fields": fields, "lineage": None})
    return numbers


def _units_of(text: str) -> Sequence[int]:
    """Return where each character of a text begins, in UTF-16 units, and where the text ends."""
    if not text or max(text) <= "\uffff":
        return range(len(text) + 1)
    return list(accumulate((1 + (character > "\uffff") for character in text), initial=0))


def digits(value: float | None) -> float | None:
    """Round to the digits that the page shows, but for counts; None for what is missing or no number."""
    if value is None or not isfinite(value):
        return None
    if isinstance(value, int):
        return value
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def texts(data: Mapping[str, Any]) -> Iterable[tuple[str, str, list[tuple[str, str]]]]:
    """Yield each prompt's label, its text, and (model, answer) pairs, for browsers without scripts."""
    for prompt in data["prompts"]:
        answers = [
            (column["name"], answer["text"])
            for column, answer in zip(data["columns"], prompt["answers"], strict=True)
            if answer is not None
        ]
        yield prompt["called"], prompt["prompt"], answers
