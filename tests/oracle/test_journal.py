"""The journal's file: what is taken for one, what is refused before anything is written into it, and older formats."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tunescope.errors import RunError, WorkError
from tunescope.oracle.journal import Journal
from tunescope.oracle.journal_file import has_log, open_file
from tunescope.oracle.usage import CallSize

FORMAT_1 = """
CREATE TABLE replies (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, characters INTEGER, body BLOB NOT NULL,
    seconds REAL, at TEXT NOT NULL
);
CREATE INDEX by_key ON replies (key);
"""
BODY = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()


def begin(path, script, log=False):
    """Write a database as another program does."""
    with closing(sqlite3.connect(path)) as file:
        if log:
            file.execute("PRAGMA journal_mode = WAL")
        file.executescript(script)
        file.commit()


def refused(path, sentence):
    """Return that a file is refused in a sentence, and left as it was."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(RunError, match=sentence) as caught:
        Journal(path)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    return sorted(each.name for each in path.parent.iterdir() if each != path)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("script", "held"),
    [
        ("CREATE TABLE cookies (host TEXT)", "the tables cookies"),
        ("CREATE TABLE replies (id INTEGER, text TEXT)", "the tables replies"),
        (f"{FORMAT_1}; CREATE TABLE users (name TEXT)", "the tables replies, users"),
        (f"{FORMAT_1}; PRAGMA user_version = 7", "the tables replies"),
        ("PRAGMA application_id = 252006674; CREATE TABLE a (b)", "the tables a"),
        ("PRAGMA application_id = 252006674", "of another program"),
        ("CREATE VIEW v AS SELECT 1", "the tables v"),
    ],
)
def test_another_programs_database_is_refused(tmp_path, script, held, log):
    begin(tmp_path / "j", script, log)
    refused(tmp_path / "j", f"j: found no journal, but a database (with )?{held}; expected a file that tunescope wrote")


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a"}\n' * 100)
    assert refused(tmp_path / "rows.jsonl", "found no journal, but something that begins with") == []
    (tmp_path / "short").write_bytes(b"SQLite")
    assert refused(tmp_path / "short", "found no journal, but something that begins with") == ["rows.jsonl"]
    (tmp_path / "cut").write_bytes(b"SQLite format 3\0" + b"\1" * 90)
    refused(tmp_path / "cut", "found no journal")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "found a folder")
    with pytest.raises(RunError, match="found no folder"):
        Journal(tmp_path / "no" / "j")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="found something that is no file"):
        Journal(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cant_be_written_is_refused(tmp_path):
    Journal(tmp_path / "j").__exit__()
    (tmp_path / "j").chmod(0o444)
    refused(tmp_path / "j", "can't be written; change its permissions, or copy it")


def test_a_newer_journal_is_refused(tmp_path):
    Journal(tmp_path / "j").__exit__()
    begin(tmp_path / "j", "PRAGMA user_version = 3")
    refused(tmp_path / "j", "a journal of format 3; this tunescope knows formats up to 2; update it")


@pytest.mark.parametrize("log", [False, True])
def test_an_empty_file_or_database_becomes_a_journal(tmp_path, log):
    (tmp_path / "empty").touch()
    begin(tmp_path / "database", "CREATE TABLE a (b); DROP TABLE a", log)
    for name in ("empty", "database", "none"):
        with Journal(tmp_path / name) as journal:
            assert len(journal) == 0
        with closing(sqlite3.connect(tmp_path / name)) as file:
            assert file.execute("PRAGMA application_id").fetchone() == (0x74736A6E,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["database", "empty", "none"]


def test_a_journal_of_format_1_goes_on_and_can_still_be_read_by_an_old_tunescope(tmp_path):
    path, add = tmp_path / "j", "INSERT INTO replies (key, characters, body, seconds, at) VALUES (?, ?, ?, 0.1, 'now')"
    begin(path, FORMAT_1, log=True)
    with closing(sqlite3.connect(path)) as old:
        old.execute(add, ("a" * 32, 40, BODY))
        old.commit()
        with Journal(path) as journal:
            assert journal.reply("a" * 32).text == "hello"
            assert list(journal) == [(CallSize(40), BODY)]
            asyncio.run(journal.add("b" * 32, CallSize(70, 1024), BODY, 0.2))
            old.execute(add, ("c" * 32, 50, BODY))  # it is still at work
            old.commit()
            assert journal.replies_of_others() == [(CallSize(50), BODY)]
            assert len(journal) == 3
        rows = old.execute("SELECT characters, body FROM replies ORDER BY number").fetchall()
        assert rows == [(40, BODY), (70, BODY), (50, BODY)]
        assert old.execute("SELECT body FROM replies WHERE key = ?", ("b" * 32,)).fetchall() == [(BODY,)]


def test_where_no_log_can_be_written_ahead_the_disk_is_waited_for(tmp_path, capsys):
    """SQLite's way to files without shared memory has none, as network file systems."""
    with closing(open_file(tmp_path / "j", vfs="unix-dotfile")) as file:
        assert not has_log(file)
        assert file.execute("PRAGMA synchronous").fetchone() == (2,)
    assert capsys.readouterr().err == (
        f"{tmp_path / 'j'}: its file system takes no write-ahead log, so each reply waits for the disk\n"
    )
    with closing(open_file(tmp_path / "j", vfs="unix-dotfile")):
        assert capsys.readouterr().err == ""
    with Journal(tmp_path / "j") as journal:
        asyncio.run(journal.add("a" * 32, CallSize(1, 1), BODY, 0.1))
        assert journal.reply("a" * 32).text == "hello"


def test_what_fails_is_said(tmp_path):
    with Journal(tmp_path / "j") as journal:
        begin(tmp_path / "j", "ALTER TABLE replies RENAME TO away")
        with pytest.raises(WorkError, match=r"j: replies can't be kept \(no such table"):
            asyncio.run(journal.add("a" * 32, CallSize(1, 1), BODY, 0.1))


def test_a_sync_moves_replies_into_the_main_file(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal._synced_at -= 10
        asyncio.run(journal.add("a" * 32, CallSize(1, 1), BODY, 0.1))
        asyncio.run(journal.add("b" * 32, CallSize(1, 1), BODY, 0.1))
        shutil.copy(tmp_path / "j", tmp_path / "copy")  # without the log beside it
    with Journal(tmp_path / "copy") as journal:
        assert len(journal) == 1
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 2


async def written(path, n):
    with Journal(path) as journal:
        for number in range(n):
            await journal.add(f"{number:032x}", CallSize(9, 9), BODY.replace(b"hello", f"hello {number}".encode()), 0.1)


def texts(path, n):
    with Journal(path) as journal:
        replies = [journal.reply(f"{number:032x}") for number in range(n)]
        return [None if reply is None else reply.text for reply in replies], len(journal)


def test_a_reply_that_was_damaged_is_asked_for_again(tmp_path, capsys):
    path = tmp_path / "j"
    asyncio.run(written(path, 3))
    path.write_bytes(path.read_bytes().replace(b"hello 1", b"hallo 1"))
    assert texts(path, 3) == (["hello 0", None, "hello 2"], 2)
    said = capsys.readouterr().err
    assert f"{path}: found a damaged journal; 2 sound replies are used, others asked for again" in said
    assert b"hallo 1" in (tmp_path / ".j.damaged").read_bytes()
    assert texts(path, 3) == (["hello 0", None, "hello 2"], 2)
    assert capsys.readouterr().err == ""


def test_a_page_that_was_lost_loses_the_replies_on_it_alone(tmp_path):
    path = tmp_path / "j"
    asyncio.run(written(path, 400))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4096 // 2 * 4096)
        file.write(bytes(4096))
    replies, n = texts(path, 400)
    assert 200 < n < 400
    assert sum(reply is not None for reply in replies) == n
    assert all(reply in (None, f"hello {number}") for number, reply in enumerate(replies))


@pytest.mark.parametrize("at", [3, 17, 44, 70])
def test_a_header_that_was_damaged_loses_nothing(tmp_path, at):
    path = tmp_path / "j"
    asyncio.run(written(path, 60))
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    assert texts(path, 60) == ([f"hello {number}" for number in range(60)], 60)


def test_a_journal_that_was_cut_keeps_what_is_there(tmp_path):
    path = tmp_path / "j"
    asyncio.run(written(path, 400))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    replies, n = texts(path, 400)
    assert n > 0
    assert all(reply in (None, f"hello {number}") for number, reply in enumerate(replies))


def test_a_journal_without_digests_is_used_as_it_is(tmp_path):
    path = tmp_path / "j"
    asyncio.run(written(path, 2))
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE replies DROP COLUMN digest")
        file.commit()
    assert texts(path, 2) == (["hello 0", "hello 1"], 2)


KILLED = """
import os, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA journal_mode = DELETE")
file.execute("PRAGMA cache_size = 1")
file.execute("BEGIN IMMEDIATE")
for number in range(200):
    file.execute("INSERT INTO replies (key, body, at) VALUES (?, ?, ?)", ("x" * 2000, b"x", ""))
os._exit(9)
"""
"""Writes pages before their transaction ends, as a process does that is killed where there is no write-ahead log."""


@pytest.mark.parametrize("flips", [0, 3])
def test_a_process_that_was_killed_while_it_wrote_is_no_hindrance(tmp_path, flips):
    path = tmp_path / "j"
    asyncio.run(written(path, 2))
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    beside = tmp_path / "j-journal"
    assert path.stat().st_size > 0
    assert beside.exists()
    data = bytearray(beside.read_bytes())
    for at in range(flips):
        data[600 + at] ^= 1
    beside.write_bytes(data)
    assert texts(path, 2) == (["hello 0", "hello 1"], 2)
