"""What a disk refuses, in one sentence: it has no room, or can't be written."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunescope.errors import RunError, RunInUse, TunescopeError, WorkError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CLOSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_WORDS_OF_FULL = re.compile(
    "|".join(
        (
            re.escape(os.strerror(errno.ENOSPC)),
            re.escape(os.strerror(errno.EDQUOT)),
            r"disk is full",
            r"(?:os error|errno) 28\b",
            r"\d+ requested and \d+ written",
        )
    )
)
"""What libraries say of a full disk that don't pass the system's error on: SQLite, safetensors, Arrow, NumPy."""
_OUR_WORDS = "found no room on the disk"
_CLIENTS = frozenset({"aiohttp", "httpx", "openai"})
"""Their errors quote a server, whose disk isn't ours."""
_NEARLY_NOTHING = 1 << 16
"""Bytes. An error that says nothing of the disk, such as torch's, is about the disk where less than this is free."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say in one sentence what stops the work on a folder where the disk does.

    Raises:
        WorkError: the disk has no room; what is finished stays.
        RunError: it can't be written.
    """
    try:
        yield
    except RunInUse:
        raise
    except Exception as error:
        sentence = describe(error, path)
        if sentence is None:
            raise
        kind = WorkError if is_full(error, path) else RunError
        raise kind(sentence) from error


def describe(error: Exception, path: Path | None = None) -> str | None:
    """Say what the disk has to do with an error and what to type; None where it has nothing to do with it.

    Args:
        error: of writing.
        path: the folder that was written to; by default what the error names.
    """
    named = Path(str(getattr(error, "filename", None) or path or "."))
    place = named if path is None else path
    if is_full(error, path):
        return (
            f"{place}: {_OUR_WORDS} ({_free(place)}); free some and type the same command again, which "
            "goes on from here, or name a folder on another disk with --out"
        )
    if isinstance(error, NotADirectoryError):
        file = next((each for each in (named, *named.parents) if each.is_file()), named)
        return f"{file}: found a file; expected a folder; name another place"
    if not isinstance(error, OSError) or error.errno not in _CLOSED or isinstance(error, TunescopeError):
        return None
    if named.is_file() and not os.access(named, os.R_OK):
        return f"{named}: found a file that can't be read ({error.strerror}); allow it, or name another"
    if named == place or place in named.parents or named in place.parents:
        return (
            f"{place}: found a folder that can't be written ({error.strerror}); name another with --out, or with "
            "the variable TUNESCOPE_RUNS"
        )
    return None


def is_full(error: Exception, path: Path | None = None) -> bool:
    """Tell whether a full disk is behind an error, whichever library met it."""
    seen: BaseException | None = error
    while seen is not None:
        if getattr(seen, "errno", None) in _FULL or _speaks_of_it(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    if path is None or (isinstance(error, TunescopeError) and isinstance(error.__cause__, TunescopeError | None)):
        return False
    with suppress(OSError):
        disk = shutil.disk_usage(_existing(path))
        return disk.total > 0 and disk.free < _NEARLY_NOTHING  # /proc and its like have no room at all
    return False


def _speaks_of_it(error: BaseException) -> bool:
    """Tell whether an error's words say that our disk is full. Ours may quote others, so of them only our own count."""
    if isinstance(error, TunescopeError):
        return _OUR_WORDS in str(error)
    return type(error).__module__.partition(".")[0] not in _CLIENTS and bool(_WORDS_OF_FULL.search(str(error)))


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.exists()), Path("."))


def _free(path: Path) -> str:
    try:
        disk = shutil.disk_usage(_existing(path))
    except OSError:
        return "how much is free can't be known"
    return f"{disk.free:,} of {disk.total:,} bytes are free"
