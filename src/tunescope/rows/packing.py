"""Packed files: gzip, bzip2, xz, and zip archives that hold one file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path

from tunescope.errors import InputError, Problem

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"PK\x03\x04": ".zip"}
_COMMANDS = {b"\x28\xb5\x2f\xfd": ("Zstandard", "zstd -d"), b"7z\xbc\xaf\x27\x1c": ("7z", "7z x")}
"""Packings that aren't read, and the command that unpacks them."""
PACKINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
"""Suffix → what the packing is called."""
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile)
"""What a damaged packed file raises."""


def packing_of(path: Path, magic: bytes) -> str:
    """Return how a file that begins with `magic` is packed, as its suffix; "" for one that isn't.

    Raises:
        InputError: a packing that isn't read, with the command that unpacks it.
    """
    for beginning, (name, command) in _COMMANDS.items():
        if magic.startswith(beginning):
            step = f"Unpack it, for example with: {command} {path}"
            raise InputError([Problem(str(path), None, f"a file packed with {name}", "gzip, bzip2, xz or zip")], step)
    return next((suffix for beginning, suffix in _MAGIC.items() if magic.startswith(beginning)), "")


def open_packed(path: Path, packing: str) -> BufferedIOBase:
    """Open a file's unpacked bytes.

    Raises:
        InputError: a zip archive that doesn't hold one file.
        zipfile.BadZipFile: a damaged zip archive.
    """
    if packing == ".zip":
        return _open_member(path)
    opener = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(packing, open)
    return opener(path, "rb")  # type: ignore[no-any-return, operator]


def _open_member(path: Path) -> BufferedIOBase:
    archive = zipfile.ZipFile(path)
    members = [item for item in archive.infolist() if not item.is_dir() and not item.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        found = f"a zip archive of {len(members):,} files"
        step = f"Unpack it, for example with: unzip {path}"
        raise InputError([Problem(str(path), None, found, "an archive of one file")], step)
    return archive.open(members[0])  # type: ignore[return-value]


def without_packing(name: str) -> str:
    """Return a file's name without the suffix of its packing."""
    return next((name[: -len(suffix)] for suffix in PACKINGS if name.lower().endswith(suffix)), name)
