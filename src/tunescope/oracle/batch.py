"""Calls as files: OpenAI's batch format, written for a service that answers within a day, and read back.

A line asks for one call, under the name that the journal has for it, so whatever order replies come in, and however
often a command is killed in between, each finds its place. vLLM's `run_batch` reads and writes the same files.

    {"custom_id": KEY, "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": …, …}}
    {"custom_id": KEY, "response": {"status_code": 200, "body": {…}}, "error": null}
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from tunescope.errors import InputError, Problem, RejectedRequest, SettingsError
from tunescope.foreign import dump_json
from tunescope.oracle.api import KEY_VARIABLE, NOT_THE_APIS, BrokenOff, message_of, on_one_line, read_reply
from tunescope.oracle.blame import blame, status_in
from tunescope.oracle.journal import Journal, rejection
from tunescope.oracle.secrets import Secrets
from tunescope.views import shorten

BATCH_URL = "/v1/chat/completions"
_MAX_LINES = 50_000
MAX_BYTES = 200_000_000
"""Requests and bytes that one file may hold (OpenAI, API reference, "Create batch": 50,000 and 200 MB)."""
_MOST_FILES = 1000
"""Files that a batch may have, 50 million calls."""
EXPECTED = 'a line of a batch\'s output: {"custom_id": …, "response": {"status_code": …, "body": …}, "error": …}'
KEY = re.compile(r"[0-9a-f]{32}")


class BatchFiles:
    """The files that a batch is written into; used as `with BatchFiles(path) as files`.

    They have their names once all lines are written, and none of them where something is raised: a killed command
    leaves what was there before. The first has the name that was typed, the others -2, -3 … before its ending. Only
    batches that were written here before are replaced.

    Attributes:
        lines: how many calls were added.
        paths: the files, once they are whole.
    """

    def __init__(self, path: Path, max_lines: int = _MAX_LINES, max_bytes: int = MAX_BYTES) -> None:
        """Begin with none; raises `SettingsError` where something else, or no folder, is."""
        if not path.parent.is_dir():
            raise SettingsError(f"--batch {path}: no folder {path.parent}; make it, or name another file")
        self._path, self._max_lines, self._max_bytes = path, max_lines, max_bytes
        self._require_free(_MOST_FILES)
        self._parts: list[Path] = []
        self._file: IO[bytes] | None = None
        self._lines = self._bytes = 0
        self.lines = 0
        self.paths: tuple[Path, ...] = ()

    def __enter__(self) -> BatchFiles:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the files their names."""
        self._close()
        if kind is not None:
            self.discard()
        if not self._parts:
            return
        try:
            self._require_free(len(self._parts))  # somebody may have come in between
        except SettingsError:
            self.discard()
            raise
        names = [self._name(number) for number in range(1, len(self._parts) + 1)]
        for part, name in zip(self._parts, names, strict=True):
            os.replace(part, name)
        number = len(names) + 1
        while (stale := self._name(number)).exists() and _is_batch(stale):  # of a batch that had more
            stale.unlink()
            number += 1
        self.paths = tuple(names)

    def add(self, key: str, body: Mapping[str, Any]) -> None:
        """Write one call."""
        record = {"custom_id": key, "method": "POST", "url": BATCH_URL, "body": dict(body)}
        line = dump_json(record).encode() + b"\n"
        if self._file is None or self._lines == self._max_lines or self._bytes + len(line) > self._max_bytes:
            self._close()
            name = self._name(len(self._parts) + 1)
            self._parts.append(name.with_name(f".{name.name}.part"))
            self._file, self._lines, self._bytes = self._parts[-1].open("wb"), 0, 0
        self._file.write(line)
        self._lines, self._bytes, self.lines = self._lines + 1, self._bytes + len(line), self.lines + 1

    def discard(self) -> None:
        """Forget all lines."""
        self._close()
        for part in self._parts:
            part.unlink()
        self._parts, self.lines = [], 0

    def _require_free(self, n_files: int) -> None:
        """Raise `SettingsError` where one of so many files is there and no batch of ours."""
        for number in range(1, n_files + 1):
            path = self._name(number)
            if os.path.lexists(path) and not _is_batch(path):
                which = "" if number == 1 else f" at {path}, where further calls go"
                raise SettingsError(f"--batch {self._path}: found something else there{which}; name a new file")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _name(self, number: int) -> Path:
        return self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")


class ImportedReplies(NamedTuple):
    """What batches' files brought.

    Attributes:
        keys: the calls that they answer or refuse, whoever made them.
        kept: how many replies the journal didn't have.
        refused: calls that can't be mended; later: those that go into the next batch.
        unknown: lines with a custom_id that is none of ours.
        later_reason: why the first of those goes into the next batch; "" where none does.
    """

    keys: frozenset[str]
    kept: int
    refused: int
    later: int
    unknown: int
    later_reason: str


def import_replies(journal: Journal, files: Sequence[str]) -> ImportedReplies:
    """Keep the replies in batches' output and error files; all of them, or none where a line can't be read.

    Raises:
        InputError: a file that isn't there, or lines that are no batch's output.
        WorkError: they can't be kept.
    """
    keys: set[str] = set()
    counts: Counter[str] = Counter()
    later = list[str]()
    secrets = Secrets([os.environ.get(KEY_VARIABLE, "").strip()])

    def replies() -> Iterator[tuple[str, bytes]]:
        problems: list[Problem] = []
        for name in files:
            for number, line in _lines(name):
                try:
                    key, reply = _parse_line(secrets.remove_from_body(line))
                except NOT_THE_APIS as error:
                    what = shorten(f"{type(error).__name__}: {error}", 200)
                    problems.append(Problem(name, number, what, EXPECTED))
                    continue
                if KEY.fullmatch(key) is None:
                    counts["unknown"] += 1
                elif isinstance(reply, str):
                    later.append(reply)
                else:
                    counts["refused"] += reply.is_rejected
                    keys.add(key)
                    yield key, reply.body
        if problems:
            raise InputError(problems, "Nothing was imported. Fix or remove these lines, and type the command again.")

    kept = journal.add_all(replies())
    return ImportedReplies(
        frozenset(keys), kept, counts["refused"], len(later), counts["unknown"], next(iter(later), "")
    )


class _BatchReply(NamedTuple):
    body: bytes
    is_rejected: bool


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield a file's lines that aren't empty, with their numbers."""
    try:
        with Path(name).open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InputError([Problem(name, None, error.strerror or str(error), "a batch's output file")]) from error


def _parse_line(line: bytes) -> tuple[str, _BatchReply | str]:
    """Return the call that a line is about, and what to keep of it; why it is to be made again where it is."""
    record = json.loads(line)
    key, response, error = record["custom_id"], record.get("response"), record.get("error")
    if not isinstance(key, str) or not isinstance(response, dict | None) or (response is None and error is None):
        raise TypeError("a custom_id that is no text, or neither response nor error")
    if response is None:  # it expired, or was cancelled: nobody looked at it
        return key, on_one_line(message_of(error))
    status, body = response["status_code"], response.get("body")
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"status_code {status!r}")
    if status < 400:
        try:
            read_reply(body)
        except RejectedRequest:
            return key, _BatchReply(json.dumps(body).encode(), is_rejected=True)
        except BrokenOff as broken:
            return key, str(broken)
        except NOT_THE_APIS:
            status = status_in(body)
        else:
            return key, _BatchReply(json.dumps(body).encode(), is_rejected=False)
    reason = on_one_line(f"{status}: {message_of(body or error)}")
    if blame(status, body or error) == "row":
        return key, _BatchReply(rejection(reason), is_rejected=True)
    return key, reason


def _is_batch(path: Path) -> bool:
    """Tell a batch's file that was written here from others, by its first line."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.readline(MAX_BYTES))
    except (OSError, *NOT_THE_APIS):
        return False
    if not isinstance(record, dict) or not {"custom_id", "method", "url", "body"} <= record.keys():
        return False
    key = record["custom_id"]
    return record["url"] == BATCH_URL and isinstance(key, str) and KEY.fullmatch(key) is not None
