"""Review lines of SelFee, Vicuna and AlpaGasus: one file per order, joined here by question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    names don't contradict it. The second review of a question is joined with the second one in the other file.

    Raises:
        InputError: a file without that of the other order (unless `options.one_order`), a faulty id or text, a
            question in two pairs of files with the systems exchanged, or two files of the same order.
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
    first_places: dict[tuple[str, str, str], tuple[str, str]] = {}
    without_partner: list[Document] = []
    while remaining:
        document, records = remaining.pop(0)
        partner = _partner(document, [other for other, _ in remaining], len(documents))
        a, b = _systems(document, options.system_names)
        partner_records: dict[_Review, DocumentRecord] | None = None
        if partner is None:
            without_partner.append(document)
        else:
            _, partner_records = remaining.pop(next(i for i, (other, _) in enumerate(remaining) if other is partner))
        for review in dict.fromkeys([*records, *(partner_records or ())]):
            of_partner = () if partner_records is None else (partner_records.get(review),)
            both = (records.get(review), *of_partner)
            pair = _join(document, review.question, a, b, both, problems, partner)
            who = (review.question, *sorted((a, b)))
            first_a, first_place = first_places.setdefault(who, (a, pair.place))
            if first_a != a:
                record = next(record for record in both if record is not None)
                found = f"{a} against {b} on {review.question} again (first {first_place})"
                problems.add(record, found, "one match each")
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


class _Review(NamedTuple):
    """Which review of a file it is: the question's id, and how many times it has come up, from 1."""

    question: str
    number: int


def _records_by_question(document: Document, problems: Problems) -> dict[_Review, DocumentRecord]:
    records: dict[_Review, DocumentRecord] = {}
    counts = Counter[str]()
    for record in document.records:
        ident = record.value.get("question_id")
        if isinstance(ident, bool) or not isinstance(ident, int | str):
            problems.add(record, f"{kind(ident)} in question_id", "a number or text")
        elif not isinstance(record.value.get("text", ""), str):
            problems.add(record, f"{kind(record.value['text'])} in text", "text")
        else:
            counts[str(ident)] += 1
            records[_Review(str(ident), counts[str(ident)])] = record
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
            problems.add(there[1], found, "the other order")
    sides: tuple[Side, Side] = ("a", "b")
    orders = tuple(_presentation(side, record) for side, record in zip(sides, records, strict=False))
    return PairJudgement(item, a, b, "", orders, place=str(there[0].location))


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
