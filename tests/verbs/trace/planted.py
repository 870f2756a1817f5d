"""Rows and answers made of words that a seeded generator draws, and answers that borrow from known rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.tools import alpaca, write_rows

from tunescope.verbs.trace import index_rows
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.settings import IndexSettings

VOCABULARY = 3000
SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]


def word(number: int) -> str:
    """Return a word that differs from every other, by its number."""
    return "".join(SYLLABLES[number // 70**i % 70] for i in range(1 + (number >= 70) + (number >= 4900)))


class Writer:
    """Draws words by Zipf's law, independently of each other."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        share = 1 / np.arange(2, VOCABULARY + 2)
        self.share = share / share.sum()

    def words(self, n: int) -> list[str]:
        return [word(int(i)) for i in self.rng.choice(VOCABULARY, n, p=self.share)]

    def text(self, n: int) -> str:
        return " ".join(self.words(n))

    def prose(self, n: int) -> str:
        """Return a text that stock phrases make up a third of, as they do of what people write."""
        words: list[str] = []
        while len(words) < n:
            stock = self.rng.random() < 0.08
            words += STOCK[int(self.rng.integers(len(STOCK)) * self.rng.random())] if stock else self.words(1)
        return " ".join(words[:n])


STOCK = [Writer(10_000 + i).words(3 + i % 6) for i in range(400)]
"""Phrases of three to eight words, the first ones most often."""


def rows(n: int, seed: int = 0, words: int = 40) -> list[dict[str, Any]]:
    """Return rows of Alpaca's kind."""
    writer = Writer(seed)
    return [alpaca(writer.text(8), writer.text(words)) for _ in range(n)]


def prose_rows(n: int, seed: int = 0, words: int = 40) -> list[dict[str, Any]]:
    """Return rows that say stock phrases."""
    writer = Writer(seed)
    return [alpaca(writer.prose(8), writer.prose(words)) for _ in range(n)]


def answer(number: int, text: str, prompt: str = "Say it") -> dict[str, Any]:
    return {"prompt_id": f"p{number}", "prompt": prompt, "text": text}


def put(path: Path, *answers: str) -> str:
    """Write answers; return the file's name."""
    write_rows(path, [answer(number, text) for number, text in enumerate(answers)])
    return str(path)


def indexed(folder: Path, records: list[dict[str, Any]], name: str = "rows.jsonl") -> Index:
    """Index records; return the index."""
    return Index(index_rows(IndexSettings(rows=(str(write_rows(folder / name, records)),))).path)
