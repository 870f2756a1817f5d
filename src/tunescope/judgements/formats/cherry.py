"""Cherry_LLM's review files: two answers, the judge's reviews in both orders and the scores read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems, columns_without_text
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.formats._scores import presentation_of_stored, presentation_of_text
from tunescope.judgements.records import Judgements, PairJudgement
from tunescope.rows import Message
from tunescope.rows.json_text import kind
from tunescope.rows.row import RepeatCounter, content_id

_TEXTS = ("Answer1", "Answer2", "review", "review_reverse")
_OTHER_COLUMNS = {*_TEXTS, "scores", "scores_reverse"}
_QUESTION_COLUMNS = ("text", "prompt", "instruction", "Instruction", "conversations")
"""What the question is called in the sets that Cherry_LLM judges: Vicuna, Koala, Self-Instruct, WizardLM, LIMA."""
_UNNAMED = "The files don't name the systems. Answer1 is compared with Answer2 (--system-names A --system-names B)."


def _detect(record: Mapping[str, Any]) -> bool:
    return {"Answer1", "Answer2", "scores", "scores_reverse"} <= record.keys()


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read review files: a is Answer1; each file is a part of its own, since none names its systems.

    A question that is repeated is an item of its own: the file was judged from a list, and has no ids. It has `.2`
    behind its id.

    Raises:
        InputError: columns without text.
    """
    problems, pairs = Problems(), []
    same_stems = len({document.stem for document in documents}) < len(documents)
    a, b = options.system_names or ("Answer1", "Answer2")
    for document in documents:
        repeats = RepeatCounter()
        for record in document.records:
            question = _question(record, problems)
            if question is None:
                continue
            columns = record.value
            question_id = content_id((Message("user", question),))
            pair = PairJudgement(
                repeats.name(question_id),
                a,
                b,
                "",
                (
                    presentation_of_stored(columns.get("scores"), "a", columns["review"]),
                    presentation_of_stored(columns.get("scores_reverse"), "b", columns["review_reverse"]),
                ),
                (len(columns["Answer1"]), len(columns["Answer2"])),
                part=document.path if same_stems else document.stem,
                place=str(record.location),
                question=question_id,
            )
            pairs.append(pair)
    problems.raise_any()
    return Judgements(pairs=pairs, notes=() if options.system_names else (_UNNAMED,))


def _question(record: DocumentRecord, problems: Problems) -> str | None:
    """Return the question; None where a text is missing, which `problems` then has."""
    columns = record.value
    wrong = next(columns_without_text(columns, _TEXTS), None)
    if wrong is not None:
        problems.add(record, f"{kind(wrong[1])} in {wrong[0]}", "text")
        return None
    names = (name for name in (*_QUESTION_COLUMNS, *columns) if name not in _OTHER_COLUMNS)
    question = next((columns[name] for name in names if isinstance(columns.get(name), str)), None)
    if question is None:
        problems.add(record, "no column with a question", "a question beside the answers")
    return question


FORMAT = Format(
    name="cherry",
    shape='{"Answer1", "Answer2", "review", "scores", "review_reverse", "scores_reverse"} in a list "data"',
    formula="Two scores of 1 to 10 in each order. [-1, -1] stands for scores that couldn't be read: the item is "
    "unparsed, which is no tie and isn't counted.",
    detect=_detect,
    read=_read,
    parse_pair=presentation_of_text,
    names_systems=False,
)
