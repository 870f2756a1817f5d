"""Review lines of SelFee, Vicuna and AlpaGasus: one file per order, joined here by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.judgements.files import Document, DocumentRecord, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.formats._scores import presentation_of_stored, presentation_of_text
from tunescope.judgements.records import Judgements, PairJudgement, Presentation, Side
from tunescope.rows.json_text import kind

_NEXT_STEP = "Name the two files of each pair of systems, one per order, or take one order alone with --one-order."


def _detect(record: Mapping[str, Any]) -> bool:
    return {"question_id", "answer1_id", "answer2_id", "score"} <= record.keys()


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Join review files: a is Assistant 1 of the first file named, b its Assistant 2.

    Two files belong together by their names (X_vs_Y and Y_vs_X). Two files alone also belong together where their
    names don't contradict it.

    Raises:
        InputError: a file without that of the other order (unless `options.one_order`), a faulty id or text, a
            repeated question, or two files of the same order.
        SettingsError: names for more than two files.
    """
    if options.system_names and len(documents) > 2:
        raise SettingsError(
            f"--system-names for {len(documents)} files: expected at most the two files of one pair of systems"
        )
    problems = Problems()
    remaining = [(document, _records_by_question(document, problems)) for document in documents]
    problems.raise_any()
    pairs: list[PairJudgement] = []
    places: dict[tuple[str, str, str], str] = {}
    without_partner: list[Document] = []
    while remaining:
        document, records = remaining.pop(0)
        partner = _partner(document, [other for other, _ in remaining], len(documents))
        a, b = _systems(document, options.system_names)
        partner_records: dict[str, DocumentRecord] | None = None
        if partner is None:
            without_partner.append(document)
        else:
            _, partner_records = remaining.pop(next(i for i, (other, _) in enumerate(remaining) if other is partner))
        for item in dict.fromkeys([*records, *(partner_records or ())]):
            both = (records.get(item),) if partner_records is None else (records.get(item), partner_records.get(item))
            pair = _join(document, item, a, b, both, problems, partner)
            first_place = places.setdefault((item, *sorted((a, b))), pair.place)
            if first_place != pair.place:
                record = next(record for record in both if record is not None)
                found = f"{a} against {b} on {item} again (first {first_place})"
                problems.add(document, record, found, "one match each")
            pairs.append(pair)
    problems.raise_any("Name the two files of one pair of systems, one per order.")
    if without_partner and not options.one_order:
        raise InputError([_missing_partner(document) for document in without_partner], _NEXT_STEP)
    notes = (
        f"{document.path} has one order alone, so a judge's preference for one position isn't balanced."
        for document in without_partner
    )
    return Judgements(pairs=pairs, notes=tuple(notes))


def _missing_partner(document: Document) -> Problem:
    x, _, y = document.stem.partition("_vs_")
    other = f"{Path(document.path).with_name(f'{y}_vs_{x}').name}.jsonl" if y else "the file of the other order"
    return Problem(document.path, None, "reviews of one order", f"also {other}, with the answers swapped")


def _records_by_question(document: Document, problems: Problems) -> dict[str, DocumentRecord]:
    records: dict[str, DocumentRecord] = {}
    for record in document.records:
        ident = record.value.get("question_id")
        if isinstance(ident, bool) or not isinstance(ident, int | str):
            problems.add(document, record, f"{kind(ident)} in question_id", "a number or text")
        elif not isinstance(record.value.get("text", ""), str):
            problems.add(document, record, f"{kind(record.value['text'])} in text", "text")
        elif str(ident) in records:
            first = document.place(records[str(ident)])
            problems.add(document, record, f"question {ident} again (first {first})", "one review each")
        else:
            records[str(ident)] = record
    return records


def _partner(document: Document, others: Sequence[Document], n_documents: int) -> Document | None:
    """Return the file of the other order: by its name, or because there are just two files."""
    x, _, y = document.stem.partition("_vs_")
    by_name = next((other for other in others if y and other.stem == f"{y}_vs_{x}"), None)
    if by_name is not None or n_documents != 2 or not others:
        return by_name
    names_contradict = y and "_vs_" in others[0].stem and others[0].stem != document.stem
    return None if names_contradict else others[0]


def _systems(document: Document, names: Sequence[str]) -> tuple[str, str]:
    if names:
        return names[0], names[1]
    x, _, y = document.stem.partition("_vs_")
    return (x, y) if y else ("Assistant 1", "Assistant 2")


def _join(
    document: Document,
    item: str,
    a: str,
    b: str,
    records: Sequence[DocumentRecord | None],
    problems: Problems,
    partner: Document | None = None,
) -> PairJudgement:
    """Make one judgement of a question's records, one per order; None stands for an order that isn't there."""
    there = [record for record in records if record is not None]
    if len(there) == 2 and partner is not None:
        first, second = ((r.value.get("answer1_id"), r.value.get("answer2_id")) for r in there)
        if first == second and first[0] != first[1]:
            found = f"question {item} in the same order as in {document.path}"
            problems.add(partner, there[1], found, "the other order")
    sides: tuple[Side, Side] = ("a", "b")
    orders = tuple(_presentation(side, record) for side, record in zip(sides, records, strict=False))
    source = document if records[0] is not None or partner is None else partner
    return PairJudgement(item, a, b, "", orders, place=source.place(there[0]))


def _presentation(first: Side, record: DocumentRecord | None) -> Presentation:
    if record is None:
        return Presentation(first, None, "missing")
    return presentation_of_stored(record.value.get("score"), first, record.value.get("text"))


FORMAT = Format(
    name="selfee",
    shape='{"question_id", "answer1_id", "answer2_id", "text", "score": [a, b]}',
    formula="Two scores of 1 to 10 in each order. Each order has a file, and the files are joined by question. "
    "[-1, -1] stands for scores that couldn't be read, which are unparsed. A question without its other order is "
    "missing. Neither is counted.",
    detect=_detect,
    read=_read,
    parse_pair=presentation_of_text,
    names_systems=False,
    one_file_per_order=True,
)
