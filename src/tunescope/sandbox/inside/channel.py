"""Messages over a file descriptor: four bytes that give the length, then that many."""

from __future__ import annotations

import os
import struct

_LARGEST = 1 << 24
"""Bytes of a message that is taken from the solution."""
_HEADER = struct.Struct("!I")


class ChannelClosed(Exception):
    """The other side ended."""


def send(descriptor: int, message: bytes) -> None:
    """Write a message whole; raises ChannelClosed."""
    data = memoryview(_HEADER.pack(len(message)) + message)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError as error:
        raise ChannelClosed from error


def receive(descriptor: int, largest: int = _LARGEST) -> bytes:
    """Read a message.

    Raises:
        ChannelClosed: the other side ended, also in the middle of it.
        ValueError: it is longer than `largest` bytes.
    """
    (size,) = _HEADER.unpack(_read_exactly(descriptor, _HEADER.size))
    if size > largest:
        raise ValueError(f"a message of {size:,} bytes; at most {largest:,} are taken")
    return _read_exactly(descriptor, size)


def _read_exactly(descriptor: int, size: int) -> bytes:
    """Read `size` bytes; raises ChannelClosed."""
    parts: list[bytes] = []
    while size:
        try:
            part = os.read(descriptor, min(size, 1 << 20))
        except OSError as error:
            raise ChannelClosed from error
        if not part:
            raise ChannelClosed
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
