"""The marks of a study: versions, conflicts, corrections, and what is left of a file that is none of ours."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from tunescope.annotations.store import MARKS_FILE, MarkStore, read_finished, read_marks
from tunescope.errors import MarkConflict, RunError
from tunescope.results.annotate import Mark

SPAN = {"answer_id": "a", "start": 3, "end": 9, "category": "wrong"}
MARK = Mark(mark_id="m1", item_id="i1", annotator="A1", kind="spans", phase="main", value=SPAN, at="2026-01-01")


def at(start: int, **changes: object) -> Mark:
    return replace(MARK, value={**SPAN, "start": start}, **changes)


def test_the_newest_version_counts_and_all_are_kept(tmp_path):
    with MarkStore(tmp_path) as store:
        assert [store.write(at(3), 0), store.write(at(4), 1), store.write(at(5, note="why"), 2)] == [1, 2, 3]
        assert [(each.version, each.mark.value["start"]) for each in store.history("m1")] == [(1, 3), (2, 4), (3, 5)]
        assert read_marks(tmp_path) == [at(5, note="why")]


def test_of_two_tabs_only_the_first_changes_a_mark(tmp_path):
    with MarkStore(tmp_path) as one, MarkStore(tmp_path) as two:
        one.write(at(3), 0)
        two.write(at(4), 1)
        with pytest.raises(MarkConflict, match=r"^another tab changed this mark \(version 2, yours was 1\); reload"):
            one.write(at(5), 1)
        with pytest.raises(MarkConflict, match=r"^another tab changed"):
            one.write(at(5), 0)
        with pytest.raises(MarkConflict, match=r"^this mark has no version 7"):
            one.write(at(5, mark_id="m2"), 7)
    assert read_marks(tmp_path) == [at(4)]


def test_a_version_sent_again_is_added_once(tmp_path):
    with MarkStore(tmp_path) as store:
        assert [store.write(at(3), 0), store.write(at(3, at="later"), 0)] == [1, 1]
        assert [store.write(at(4), 1), store.write(at(4), 1)] == [2, 2]
        assert len(store.history("m1")) == 2


def test_deleting_is_a_version(tmp_path):
    with MarkStore(tmp_path) as store:
        store.write(at(3), 0)
        store.write(at(4, mark_id="m2"), 0)
        assert store.write(at(3), 1, deleted=True) == 2
        assert [each.mark.mark_id for each in store.marks()] == ["m2"]
        assert [(each.version, each.deleted) for each in store.history("m1")] == [(1, False), (2, True)]
        store.write(at(3), 2)  # and back
    assert [mark.mark_id for mark in read_marks(tmp_path)] == ["m1", "m2"]


def test_a_correction_keeps_the_annotators_own(tmp_path):
    with MarkStore(tmp_path) as store:
        store.write(at(3), 0)
        store.write(at(4), 1)
        store.write(at(6, reviewer="R"), 2)
        store.write(at(7, reviewer="R"), 3)
        (mark,) = read_marks(tmp_path)
        assert (mark.value["start"], mark.original["start"], mark.reviewer, mark.annotator) == (7, 4, "R", "A1")
        with pytest.raises(MarkConflict, match=r"^a reviewer corrected this mark, so"):
            store.write(at(8), 4)
        with pytest.raises(MarkConflict, match=r"^a reviewer changed this mark \(version 4, yours was 2\)"):
            store.write(at(8), 2)


def test_a_mark_stays_where_it_is(tmp_path):
    with MarkStore(tmp_path) as store:
        store.write(at(3), 0)
        for elsewhere in ({"annotator": "A2"}, {"item_id": "i2"}, {"kind": "pairs"}):
            with pytest.raises(MarkConflict, match=r"^this mark is of another item or another annotator"):
                store.write(at(3, **elsewhere), 1)


def test_marks_of_an_item_and_of_an_annotator(tmp_path):
    with MarkStore(tmp_path) as store:
        for number, (item, annotator) in enumerate([("i1", "A1"), ("i1", "A2"), ("i2", "A1")]):
            store.write(at(3, mark_id=f"m{number}", item_id=item, annotator=annotator), 0)
        assert [each.mark.mark_id for each in store.marks(item_id="i1")] == ["m0", "m1"]
        assert [each.mark.mark_id for each in store.marks(annotator="A1")] == ["m0", "m2"]
        assert [each.mark.mark_id for each in store.marks("i1", "A1")] == ["m0"]


def test_finished_items(tmp_path):
    with MarkStore(tmp_path) as store:
        store.finish("i1", "A1")
        store.finish("i1", "A2")
        store.finish("i2", "A2")
        store.finish("i1", "A2", is_finished=False)
        assert store.finished() == read_finished(tmp_path) == {("i1", "A1"), ("i2", "A2")}
        assert store.finished("A2") == {("i2", "A2")}


def test_texts_come_back_as_they_were(tmp_path):
    mark = replace(MARK, value={**SPAN, "category": "\u202e\x00</script>é𝄞"}, note="a\nb\u200b", sources="'); --")
    with MarkStore(tmp_path) as store:
        store.write(mark, 0)
    assert read_marks(tmp_path) == [mark]


def test_other_files_are_refused_and_left_alone(tmp_path):
    with pytest.raises(RunError, match=r"marks\.db: found no marks; let annotators make them with: tunescope annotate"):
        read_marks(tmp_path)
    path = tmp_path / MARKS_FILE
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    before = path.read_bytes()
    for read in (read_marks, MarkStore):
        with pytest.raises(RunError, match=r"marks\.db: found a database of another program"):
            read(tmp_path)
    assert path.read_bytes() == before
    path.write_text("no database")
    for read in (read_marks, MarkStore):
        with pytest.raises(RunError, match=r"marks\.db: found no (file of )?marks that can be"):
            read(tmp_path)
    assert path.read_text() == "no database"
