"""Review lines of SelFee, Vicuna and AlpaGasus: one file per order, joined here by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements.files import Document, Entry, Problems
from tunescope.judgements.formats._scores import order_of_stored, order_of_text
from tunescope.judgements.records import PLAIN, Judgements, Options, Order, Pair, Side
from tunescope.rows.json_text import kind

NAME = "selfee"
SHAPE = '{"question_id", "answer1_id", "answer2_id", "text", "score": [a, b]}'
NAMELESS = True
ORDERS_IN_FILES = True
FORMULA = (
    "Two scores of 1 to 10 in each order, the orders in two files joined by question. [-1, -1], scores that couldn't "
    "be read, is unparsed, and a question without its other order is missing: neither counts."
)
NEXT = "Name the two files of each pair of systems, one per order, or take one order alone with --one-order."


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"question_id", "answer1_id", "answer2_id", "score"} <= record.keys()


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Join review files: a is Assistant 1 of the first file named, b its Assistant 2.

    Files are partners by their names (X_vs_Y and Y_vs_X) or, where there are two and no names of theirs say that they
    aren't, because there are two.

    Raises:
        InputError: a file without that of the other order (unless `options.one_order`), an id or a text that is none, a
            question that is there twice, or two files of the same order.
        SettingsError: names for more than two files.
    """
    if options.names and len(documents) > 2:
        raise SettingsError(f"--names for {len(documents)} files: two names are for the two files of one pair")
    problems = Problems()
    found = [(document, _records(document, problems)) for document in documents]
    problems.refuse()
    pairs: list[Pair] = []
    seen: dict[tuple[str, str, str], str] = {}
    left = list(found)
    alone: list[Document] = []
    while left:
        document, records = left.pop(0)
        partner = _partner(document, [other for other, _ in left], len(documents))
        x, y = _systems(document, options.names)
        others: dict[str, Entry] | None = None
        if partner is None:
            alone.append(document)
        else:
            _, others = left.pop(next(i for i, (other, _) in enumerate(left) if other is partner))
        for item in dict.fromkeys([*records, *(others or ())]):
            entries = (records.get(item),) if others is None else (records.get(item), others.get(item))
            pair = _pair(document, item, x, y, entries, problems, partner)
            before = seen.setdefault((item, *sorted((x, y))), pair.place)
            if before != pair.place:
                entry = next(entry for entry in entries if entry is not None)
                problems.add(document, entry, f"{x} against {y} on {item} again (first {before})", "one match each")
            pairs.append(pair)
    problems.refuse("Name the two files of one pair of systems, one per order.")
    if alone and not options.one_order:
        raise InputError([_without(document) for document in alone], NEXT)
    notes = (
        f"{document.path} is one order alone: a judge's leaning to one place isn't balanced." for document in alone
    )
    return Judgements(pairs=pairs, notes=tuple(notes))


def _without(document: Document) -> Problem:
    x, _, y = document.stem.partition("_vs_")
    other = (
        f"also {Path(document.path).with_name(f'{y}_vs_{x}').name}.jsonl" if y else "also the file of the other order"
    )
    return Problem(document.path, None, "reviews of one order", f"{other}, where the answers stand the other way round")


def _records(document: Document, problems: Problems) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for entry in document.entries:
        ident = entry.value.get("question_id")
        if isinstance(ident, bool) or not isinstance(ident, int | str):
            problems.add(document, entry, f"{kind(ident)} in question_id", "a number or text")
        elif not isinstance(entry.value.get("text", ""), str):
            problems.add(document, entry, f"{kind(entry.value['text'])} in text", "text")
        elif str(ident) in found:
            first = document.place(found[str(ident)])
            problems.add(document, entry, f"question {ident} again (first {first})", "one review each")
        else:
            found[str(ident)] = entry
    return found


def _partner(document: Document, others: Sequence[Document], count: int) -> Document | None:
    x, _, y = document.stem.partition("_vs_")
    named = next((other for other in others if y and other.stem == f"{y}_vs_{x}"), None)
    if named is not None or count != 2 or not others:
        return named
    both_named = y and "_vs_" in others[0].stem and others[0].stem != document.stem
    return None if both_named else others[0]


def _systems(document: Document, names: Sequence[str]) -> tuple[str, str]:
    x, _, y = document.stem.partition("_vs_")
    a, b = (x, y) if y else ("Assistant 1", "Assistant 2")
    a, b = [*names, *(a, b)[len(names) :]][:2]
    return a, b


def _pair(
    document: Document,
    item: str,
    a: str,
    b: str,
    entries: Sequence[Entry | None],
    problems: Problems,
    partner: Document | None = None,
) -> Pair:
    both = [entry.value for entry in entries if entry is not None]
    if len(both) == 2:
        ids = [(value.get("answer1_id"), value.get("answer2_id")) for value in both]
        if ids[0] == ids[1] and ids[0][0] != ids[0][1]:
            entry = entries[1]
            assert entry is not None
            assert partner is not None
            problems.add(partner, entry, f"question {item} in the same order as in {document.path}", "the other order")
    sides: tuple[Side, Side] = ("a", "b")
    orders = tuple(_order(side, entry) for side, entry in zip(sides, entries, strict=False))
    placed, where = next(
        (e, d) for e, d in zip(entries, (document, partner or document), strict=False) if e is not None
    )
    return Pair(item, a, b, "", orders, place=where.place(placed))


def _order(first: Side, entry: Entry | None) -> Order:
    if entry is None:
        return Order(first, None, "missing")
    return order_of_stored(entry.value.get("score"), first, entry.value.get("text"))


def parse(text: str, first: Side) -> Order:
    """Read a review: its scores stand in the first line, in some prompts in the last."""
    return order_of_text(text, first)
