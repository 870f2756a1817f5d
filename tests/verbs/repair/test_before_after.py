"""What a repair shows of changed rows: each changed text before and after, what differs marked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.tools import alpaca, write_rows

from tunescope.rows import open_rows
from tunescope.verbs.repair.before_after import before_and_after
from tunescope.verbs.repair.records import RepairResult
from tunescope.verbs.repair.repaired_rows import RepairedRow


@pytest.fixture
def change(workplace):
    """Return a function that makes repaired rows of (instruction, response) before and after."""

    def repaired(*changes):
        write_rows(workplace / "rows.jsonl", [alpaca(*before) for before, _ in changes])
        made = []
        for row, (_, after) in zip(open_rows(["rows.jsonl"]), changes, strict=True):
            messages = tuple(replace(old, content=new) for old, new in zip(row.messages, after, strict=True))
            made.append(RepairedRow(row, replace(row, messages=messages), RepairResult("ok", "")))
        return made

    return repaired


def marked(text):
    """Return the marked words of a text."""
    return [text.text[start:end] for start, end in text.marks]


def test_the_words_that_differ_are_marked(change):
    rows = change(
        (
            ("Why is it so?", "The sky is green today, they say."),
            ("Why is it so?", "The sky is blue, they always say."),
        ),
        (("What?", "Stays."), ("What?", "Stays.")),
        (("Say one.", "One two three."), ("Say only one.", "One two three.")),
        (("a b c", "d"), ("a b", "d")),
    )
    texts = before_and_after(rows)
    first, third = rows[0].before.id, rows[2].before.id
    assert [text.title for text in texts] == [
        f"rows.jsonl:1, row {first}, response before:",
        f"rows.jsonl:1, row {first}, response after:",
        f"rows.jsonl:3, row {third}, instruction before:",
        f"rows.jsonl:3, row {third}, instruction after:",
    ]
    assert [text.text for text in texts[:2]] == [
        "The sky is green today, they say.",
        "The sky is blue, they always say.",
    ]
    assert [marked(text) for text in texts] == [["green today,"], ["blue,", "always"], [], ["only"]]


def test_a_new_text_has_no_marks(change):
    before, after = before_and_after(change((("q", "one two three four"), ("q", "nothing of it is like that at all"))))
    assert (before.marks, after.marks) == ((), ())


def test_a_long_text_is_shown_from_before_its_first_difference(change):
    lead, tail = "same " * 200, " end" * 200
    before, after = before_and_after(change((("q", f"{lead}old{tail}"), ("q", f"{lead}new{tail}"))))
    for text, word in ((before, "old"), (after, "new")):
        assert text.text.startswith("… same ")
        assert text.text.endswith("end …")
        assert len(text.text) <= 304
        assert marked(text) == [word]


def test_no_row_changed(change):
    assert before_and_after(change((("q", "a"), ("q", "a")))) == ()
