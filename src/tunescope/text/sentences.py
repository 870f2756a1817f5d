"""Sentences: stretches of a line up to a mark that ends one."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SENTENCE = re.compile(r"(?:[^\n.!?…؟।॥。！？]|[.!?…]++(?![\"'”’)\]]*+(?:\s|\Z)))++[.!?…؟।॥。！？]*+")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of a text begins and ends, in characters."""
    for match in _SENTENCE.finditer(text):
        yield match.span()
