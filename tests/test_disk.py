"""What a disk refuses, what was damaged since it was written, and what changed while it was read."""

from __future__ import annotations

import errno
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from tunescope import runs
from tunescope.answers import RecordLog
from tunescope.engine import map_shards
from tunescope.errors import RunError, RunInUse, WorkError
from tunescope.runs import Outcome, Run
from tunescope.runs.disk import describe, explained, is_full
from tunescope.runs.sums import SUMS_FILE, is_intact, sealed, unsealed, write_sums
from tunescope.views import View


@dataclass(frozen=True, kw_only=True)
class Settings:
    out: str | None = runs.out_field()


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")


def of_a_library() -> RuntimeError:
    error = RuntimeError("failed to write")
    error.__cause__ = full()
    return error


@pytest.mark.parametrize(
    "error",
    [
        full(),
        of_a_library(),
        OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
        OSError("23850 requested and 20448 written"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_sentence_that_names_the_folder(tmp_path, error):
    sentence = r"found no room on the disk \([\d,]+ of [\d,]+ bytes are free\)"
    with pytest.raises(WorkError, match=sentence) as caught, explained(tmp_path / "run"):
        raise error
    assert str(caught.value).startswith(f"{tmp_path / 'run'}: ")
    assert "type the same command again" in str(caught.value)
    assert is_full(caught.value)  # whoever is further up says it of its own folder


def test_what_is_closed_elsewhere_is_not_the_run_folder(tmp_path):
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "elsewhere" / "rows.json"))
    assert describe(error, tmp_path / "run") is None
    assert str(describe(error)).startswith(f"{tmp_path / 'elsewhere' / 'rows.json'}: ")


def test_a_full_disk_of_a_server_is_not_ours(tmp_path):
    openai = pytest.importorskip("openai")
    told = OSError("the file has 3 parts requested and wanted")
    quoted = openai.OpenAIError("No space left on device; database or disk is full")
    refused = WorkError("the server refuses the key: No space left on device")
    refused.__cause__ = quoted
    for error in (told, refused, quoted):
        assert not is_full(error, tmp_path)
        with pytest.raises(type(error)) as caught, explained(tmp_path / "run"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_closed_folder_is_one_sentence(tmp_path, number):
    with pytest.raises(RunError, match=r"can't be written .*; name another with --out"), explained(tmp_path):
        raise OSError(number, os.strerror(number))


def test_other_errors_stay_as_they_are(tmp_path):
    for error in (RunInUse("in use"), ValueError("x"), FileNotFoundError(errno.ENOENT, "no such file")):
        with pytest.raises(type(error)) as caught, explained(tmp_path):
            raise error
        assert caught.value is error
        assert describe(error) is None


def test_a_folder_is_intact_while_its_files_are_what_was_written(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "in/b"):
        (tmp_path / name).write_text(name)
    assert is_intact(tmp_path)  # nothing is known of it
    write_sums(tmp_path)
    assert is_intact(tmp_path)
    (tmp_path / "new").touch()
    assert is_intact(tmp_path)
    for change in (b"i", b"in/c", b""):
        (tmp_path / "in/b").write_bytes(change)
        assert not is_intact(tmp_path)
    (tmp_path / "in/b").write_text("in/b")
    (tmp_path / SUMS_FILE).write_text('{"a"')
    assert not is_intact(tmp_path)


def test_a_line_is_what_was_written_or_damaged():
    line = sealed(b'{"n": 1}')
    assert unsealed(line.removesuffix(b"\n")) == b'{"n": 1}'
    assert unsealed(b'{"n": 1}') == b'{"n": 1}'
    for at in range(len(line) - 1):
        changed = bytearray(line[:-1])
        changed[at] ^= 1
        assert unsealed(bytes(changed)) is None or b"\t" not in changed


def test_a_damaged_record_is_left_out_and_said(tmp_path, capsys):
    path = tmp_path / "log"
    log = RecordLog(path)
    for n in range(4):
        log.add({"n": n})
    log.close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"n": 1}', b'{"n": 7}').replace(b'{"n": 2}', b"\xff"))
    log = RecordLog(path)
    assert [record["n"] for record in log] == [0, 3]
    assert f"{path}: found 2 damaged of 4 records; they are made again" in capsys.readouterr().err
    log.add({"n": 1})
    log.close()
    assert [record["n"] for record in RecordLog(path)] == [0, 3, 1]


def test_a_damaged_shard_is_done_again(tmp_path, capsys):
    done = []

    def work(state: None, shard: int, folder: Path) -> None:
        done.append(shard)
        (folder / "n").write_text(str(shard))

    for _ in range(2):
        folders = map_shards(work, [1, 2], lambda: None, tmp_path)
    assert done == [1, 2]
    (folders[1] / "n").write_text("3")
    map_shards(work, [1, 2], lambda: None, tmp_path)
    assert done == [1, 2, 2]
    assert "00001: found damaged work; it is done again" in capsys.readouterr().err
    assert (folders[1] / "n").read_text() == "2"


def test_a_shard_that_fails_leaves_nothing(tmp_path):
    def work(state: None, shard: int, folder: Path) -> None:
        (folder / "half").touch()
        raise full()

    with pytest.raises(WorkError, match="no room"):
        map_shards(work, [1], lambda: None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_input_that_changes_while_it_is_read_is_noticed_and_nothing_is_kept(workplace):
    Path("rows").write_text("a")
    journal = Path("own.sqlite")
    journal.write_text("a")

    def work(folder: runs.RunFolder) -> Outcome:
        folder.text("page", "a")
        (folder.scratch / "shard").mkdir()
        folder.text("journal.sqlite", "replies")
        journal.write_text("more")
        Path("rows").write_text("another")
        return Outcome({}, View(()))

    inputs = {"rows": "hash", "journal own.sqlite": "hash", "no such": "x"}
    with pytest.raises(WorkError, match=r"^rows changed while it was read, so nothing was kept; type the same command"):
        runs.execute("verb", 1, Settings(), inputs, work)
    (folder,) = Path("runs").iterdir()
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert kept == [".lock", folder.name.replace("verb-", ".work-"), "journal.sqlite"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "notes.md" / "more" / "faults.csv").write_text("")
    assert describe(caught.value) == f"{tmp_path / 'notes.md'}: found a file; expected a folder; name another place"


@pytest.mark.parametrize("name", ["rows.parquet", "notes.jsonl", "run.json"])
def test_a_damaged_file_of_a_run_is_refused_by_name(workplace, name):
    import pyarrow as pa

    def work(folder: runs.RunFolder) -> Outcome:
        folder.table("rows", pa.table({"a": [1]}))
        folder.records("notes", [{"n": 1}])
        return Outcome({}, View(()))

    run = runs.execute("verb", 1, Settings(out="run"), {}, work)
    (run.path / name).write_bytes(b"\xff{")
    with pytest.raises(RunError, match=name):
        read_all(run.path)


def test_a_file_of_a_finished_run_that_changed_is_said(workplace, capsys):
    def work(folder: runs.RunFolder) -> Outcome:
        folder.text("page", "a page")
        folder.text("journal.sqlite", "replies")
        return Outcome({}, View(()))

    for _ in range(2):
        run = runs.execute("verb", 1, Settings(out="run"), {}, work)
    assert "were written" not in capsys.readouterr().err
    (run.path / "page").write_text("a")
    (run.path / "journal.sqlite").write_text("more replies")
    runs.execute("verb", 1, Settings(out="run"), {}, work)
    assert "run/page: found 1 bytes; 6 were written; if you didn't change it" in capsys.readouterr().err


def read_all(folder: Path) -> None:
    run = Run(folder)
    run.tables["rows"]
    list(run.records("notes"))
