"""Cherry_LLM's review files: two answers, the judge's reviews in both orders and the scores read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Entry, Problems, texts
from tunescope.judgements.formats._scores import order_of_stored, order_of_text
from tunescope.judgements.records import PLAIN, Judgements, Options, Order, Pair, Side
from tunescope.rows import Message
from tunescope.rows.json_text import kind
from tunescope.rows.row import RepeatCounter, content_id

NAME = "cherry"
SHAPE = '{"Answer1", "Answer2", "review", "scores", "review_reverse", "scores_reverse"} in a list "data"'
NAMELESS = True
FORMULA = (
    "Two scores of 1 to 10 in each order. [-1, -1], scores that couldn't be read, is unparsed: such an item is no tie "
    "and counts nowhere."
)
TEXTS = ("Answer1", "Answer2", "review", "review_reverse")
NOT_THE_QUESTION = {*TEXTS, "scores", "scores_reverse"}
QUESTIONS = ("text", "prompt", "instruction", "Instruction", "conversations")
"""What the question is called in the sets that Cherry_LLM judges: Vicuna, Koala, Self-Instruct, WizardLM, LIMA."""


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"Answer1", "Answer2", "scores", "scores_reverse"} <= record.keys()


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read review files: a is Answer1; each file is a part of its own, since none names its systems.

    A question that is there again with other answers has `.2` behind its id.

    Raises:
        InputError: columns that hold no text, or the same answers to the same question twice.
    """
    problems, pairs = Problems(), []
    alike = len({document.stem for document in documents}) < len(documents)
    a, b = [*options.names, *("Answer1", "Answer2")[len(options.names) :]][:2]
    for document in documents:
        repeats = RepeatCounter()
        seen: dict[tuple[str, str, str], Entry] = {}
        for entry in document.entries:
            record = entry.value
            wrong = next(texts(record, TEXTS), None)
            if wrong is not None:
                problems.add(document, entry, f"{kind(wrong[1])} in {wrong[0]}", "text")
                continue
            columns = (name for name in (*QUESTIONS, *record) if name not in NOT_THE_QUESTION)
            question = next((record[name] for name in columns if isinstance(record.get(name), str)), None)
            if question is None:
                problems.add(document, entry, "no column with a question", "one beside the answers")
                continue
            key = (question, record["Answer1"], record["Answer2"])
            before = seen.setdefault(key, entry)
            if before is not entry:
                found = f"a question with answers that are there before (record {before.number})"
                problems.add(document, entry, found, "one judgement each")
            pair = Pair(
                repeats.name(content_id((Message("user", question),))),
                a,
                b,
                "",
                (
                    order_of_stored(record.get("scores"), "a", record["review"]),
                    order_of_stored(record.get("scores_reverse"), "b", record["review_reverse"]),
                ),
                (len(record["Answer1"]), len(record["Answer2"])),
                part=document.path if alike else document.stem,
                place=document.place(entry),
            )
            pairs.append(pair)
    problems.refuse()
    notes = (
        ()
        if options.names
        else ("The files don't name the systems: Answer1 is held against Answer2 (--names A --names B).",)
    )
    return Judgements(pairs=pairs, notes=notes)


def parse(text: str, first: Side) -> Order:
    """Read a review: the scores stand in its first line."""
    return order_of_text(text, first)
