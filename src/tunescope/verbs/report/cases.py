"""Cases as cards: an answer of each model, and the rows whose words it has or that taught it, marked in both.

The Limitations paper tells its findings by such cards (Tables 6 to 8 and 12). They are chosen by counts alone: first
the questions whose answers state a claim, then those with the most words borrowed above what chance gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tunescope.verbs.report.page import fill

_MOST = 6
_MOST_ROWS = 2
"""Rows of an answer that a card shows, the most likely ones."""
_AROUND = 240
"""Characters shown before the first mark of a text and behind the last."""

_Stretch = tuple[int, int]
"""Start and end in a text, in UTF-16 units."""


class _Text(NamedTuple):
    """A text under its name, in pieces that are marked or not."""

    name: str
    pieces: Sequence[tuple[str, bool]]


class _Case(NamedTuple):
    """A card: what was asked, where the X-ray shows it, the answers, and the rows, each with a sentence about it."""

    called: str
    address: str
    prompt: _Text
    answers: Sequence[tuple[_Text, Sequence[str]]]
    rows: Sequence[tuple[str, str, Sequence[_Text]]]


def cases_html(data: Mapping[str, Any]) -> str:
    """Draw the cards of an X-ray's data; "" where no answer borrows words or states a claim."""
    weighed = [(_weight(prompt), -number) for number, prompt in enumerate(data["prompts"])]
    told = sorted((pair for pair in weighed if pair[0] > (0, 0)), reverse=True)
    cases = [_case(data, data["prompts"][-number]) for _, number in told[:_MOST]]
    return fill("cases.html.j2", cases=cases, n=len(told)) if cases else ""


def _weight(prompt: Mapping[str, Any]) -> tuple[int, float]:
    """Return how many claims the answers to a prompt state, and their words borrowed above chance."""
    answers = [answer for answer in prompt["answers"] if answer]
    stated = sum(standing == "stated" for answer in answers for _, standing, _ in answer.get("claims", ()))
    borrowed = sum(max(answer.get("excess") or 0, 0) for answer in answers if answer.get("spans"))
    return stated, borrowed


def _case(data: Mapping[str, Any], prompt: Mapping[str, Any]) -> _Case:
    answers, rows = [], list[tuple[str, str, Sequence[_Text]]]()
    for column, answer in zip(data["columns"], prompt["answers"], strict=True):
        if answer is not None:
            spans = answer.get("spans", ())
            marks = [(span["start"], span["end"]) for span in spans] or _marks(answer["text"], answer)
            answers.append((_text(column["name"], answer["text"], marks), list(_said(answer))))
            rows += _rows(data, column["name"], answer, len(data["columns"]) > 1)
    place = {"prompt": prompt["id"], "turn": prompt["turn"], "sample": prompt["sample"]}
    address = urlencode({name: value for name, value in place.items() if value})
    return _Case(prompt["called"], f"#{address}", _text("", prompt["prompt"], []), answers, rows)


def _said(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is known of an answer: its claims, and its borrowed words beside chance."""
    for claim, standing, phrase in answer.get("claims", ()):
        yield f"Claim {claim}: {standing}" + (f" (“{phrase}”)." if phrase else ".")
    if answer.get("spans") and answer.get("expected") is not None:
        yield f"{answer['flagged']:,} of its {answer['words']:,} words are borrowed; by chance {answer['expected']:g}."


def _rows(data: Mapping[str, Any], name: str, answer: Mapping[str, Any], several: bool) -> Iterator[Any]:
    """Yield the rows of an answer: those of its longest spans; without spans those that taught it."""
    whose = f" of {name}'s answer" if several else ""
    spans = sorted(answer.get("spans", ()), key=lambda span: -span["words"])
    for number, shared in _likeliest(spans):
        yield (
            *_row_heading(data, number),
            [
                _text(field, text, [stretch[2:] for at, stretch in shared if at == place])
                for place, (field, text, *_) in enumerate(data["rows"][number]["fields"])
            ],
            f"The marked words{whose} are in this row too.",
        )
    if not spans:
        for taught in answer.get("taught", {}).get("rows", ())[:_MOST_ROWS]:
            row = data["rows"][taught["row"]]
            texts = [_text(role, text, _marks(text, answer)) for role, text, *_ in row["fields"]]
            yield *_row_heading(data, taught["row"]), texts, f"One of the rows likeliest to have taught it{whose}."


def _row_heading(data: Mapping[str, Any], number: int) -> tuple[str, str]:
    """Return a row's id and place."""
    return data["rows"][number]["id"], data["rows"][number]["place"]


def _likeliest(spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, list[tuple[int, Sequence[int]]]]]:
    """Yield the first row of each of the longest spans, by its number, with the field and stretch of all it shares."""
    found: dict[int, list[tuple[int, Sequence[int]]]] = {}
    for span in spans:
        for number, place, *_, shared in span["rows"][:1]:
            found.setdefault(number, []).extend((place, stretch) for stretch in shared)
    yield from list(found.items())[:_MOST_ROWS]


def _marks(text: str, answer: Mapping[str, Any]) -> list[_Stretch]:
    """Return where the phrases of an answer's claims stand in a text."""
    found = [_found(text, phrase) for _, _, phrase in answer.get("claims", ()) if phrase]
    return [mark for mark in found if mark]


def _found(text: str, phrase: str) -> _Stretch | None:
    """Return where a phrase stands in a text, letter for letter; None where it is written in another way."""
    start = text.find(phrase)
    return None if start < 0 else (_units(text[:start]), _units(text[: start + len(phrase)]))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _text(name: str, text: str, marks: Sequence[Sequence[int]]) -> _Text:
    """Cut a text into pieces by its marks, without what is far before the first of them and far behind the last."""
    coded = text.encode("utf-16-le", "surrogatepass")
    end = len(coded) // 2
    joined = list[list[int]]()
    for start, stop in sorted(map(tuple, marks)):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    low = max(joined[0][0] - _AROUND, 0) if joined else 0
    high = min(joined[-1][1] + _AROUND, end) if joined else min(3 * _AROUND, end)
    low, high = low + _is_second_half(coded, low), high + _is_second_half(coded, high)
    edges = [low, *(edge for mark in joined for edge in mark), high]
    cut = [coded[2 * a : 2 * b].decode("utf-16-le", "replace") for a, b in pairwise(edges)]
    cut[0] = "…" * (low > 0) + cut[0]
    cut[-1] += "…" * (high < end)
    return _Text(name, [(piece, bool(number % 2)) for number, piece in enumerate(cut) if piece])


def _is_second_half(coded: bytes, unit: int) -> bool:
    """Return whether a UTF-16 unit is the second of a character's two."""
    return coded[2 * unit + 1 : 2 * unit + 2] in (b"\xdc", b"\xdd", b"\xde", b"\xdf")
