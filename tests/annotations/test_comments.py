"""A reviewer's comments, returned pilots and reworded prompts: versions, conflicts, files of an earlier time."""

from __future__ import annotations

import sqlite3

import pytest

from tunescope.annotations.asked_prompts import AskedPrompt, AskedPrompts, holds_phrase
from tunescope.annotations.comments import Comments, read_comments
from tunescope.annotations.store import MARKS_FILE, MarkStore, read_marks
from tunescope.errors import MarkConflict

ASKED = AskedPrompt("t1", "i1", "A1", "In other words?")


def test_comments_have_versions_and_a_conflict(tmp_path):
    with MarkStore(tmp_path) as store:
        comments = Comments(store)
        assert comments.newest("i1", "A1").version == 0
        assert [comments.write("i1", "A1", "No.", 0), comments.write("i1", "A1", "Read it again.", 1)] == [1, 2]
        assert comments.write("i1", "A1", "Read it again.", 1) == 2  # its reply was lost
        assert comments.write("i2", "A1", "Yes.", 0) == 1
        with pytest.raises(MarkConflict, match=r"^another tab changed this comment \(version 2, yours was 1\); reload"):
            comments.write("i1", "A1", "Late.", 1)
        assert [(each.item_id, each.text) for each in comments.all()] == [("i1", "Read it again."), ("i2", "Yes.")]
        comments.write("i2", "A1", "", 1)
    assert [(each.item_id, each.version) for each in read_comments(tmp_path)] == [("i1", 2)]


def test_a_pilot_is_returned_to_one(tmp_path):
    with MarkStore(tmp_path) as store:
        Comments(store).return_pilot("A2")
        assert Comments(store).returned() == {"A2"}


def test_a_prompt_waits_until_it_is_answered_or_fails(tmp_path):
    with MarkStore(tmp_path) as store:
        prompts = AskedPrompts(store)
        for try_id in ("t1", "t2", "t1"):
            prompts.add(ASKED._replace(try_id=try_id))
        with pytest.raises(MarkConflict, match=r"^another prompt was sent with this id"):
            prompts.add(ASKED._replace(annotator="A2"))
        assert [each.try_id for each in prompts.waiting()] == ["t1", "t2"]
        answered = ASKED._replace(model="m", answer="Rome.")
        prompts.keep(answered)
        prompts.keep(answered._replace(answer="Paris."))  # the first stays
        assert prompts.of("i1", "A1") == [answered, ASKED._replace(try_id="t2")]
        prompts.keep(ASKED._replace(try_id="t2", model="m", failure="too long"))
        assert prompts.waiting() == prompts.of("i1", "A2") == []


def test_a_file_of_an_earlier_tunescope_has_no_comments_and_gets_them(tmp_path):
    with MarkStore(tmp_path):
        pass
    with sqlite3.connect(tmp_path / MARKS_FILE) as file:
        for table in ("comments", "asked_prompts", "prompt_answers", "returned_pilots"):
            file.execute(f"DROP TABLE {table}")
        file.execute("PRAGMA user_version = 1")
    file.close()
    assert read_comments(tmp_path) == read_marks(tmp_path) == []
    with MarkStore(tmp_path) as store:
        assert Comments(store).write("i1", "A1", "Yes.", 0) == 1


@pytest.mark.parametrize(
    ("text", "phrase", "holds"),
    [
        ("It is  New\nyork, they say.", "new York", True),
        ("It is New, and York.", "New York", False),
        ("It is Parisian.", "Paris", False),
        ("Don’t go.", "don't", True),
        ("No… really", "…", True),
        ("No.", "…", False),
        ("", "Paris", False),
    ],
)
def test_a_phrase_is_held_by_its_words(text, phrase, holds):
    assert holds_phrase(text, phrase) is holds
