"""Nonces: codes that occur in none of a prompt's texts, so that no text can close its own delimiters. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

_NONCE_DIGITS = 8
"""Hex digits of a nonce: 32 bits, and never one that occurs in the texts."""


class Nonces(NamedTuple):
    """What delimits a prompt's texts, and what marks a judge's verdict on them."""

    delimiter: str
    verdict_marker: str


def make_nonces(*texts: str) -> Nonces:
    """Return two nonces that occur in none of the texts; the same ones for the same texts."""
    digest = blake2b("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass"))
    nonces: list[str] = []
    while len(nonces) < 2:
        digest.update(b".")
        nonce = digest.hexdigest()[:_NONCE_DIGITS]
        if nonce not in nonces and not any(nonce in text for text in texts):
            nonces.append(nonce)
    return Nonces(*nonces)
