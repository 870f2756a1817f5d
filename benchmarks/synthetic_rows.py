"""Alpaca-sized rows in any number, for benchmarks: seeded, written as JSON lines.

Word lengths, answer lengths and the share of rows with an input follow the Alpaca data (about 440
bytes a row); words are drawn by Zipf's law from a made-up vocabulary of 30,000. One row in a
hundred repeats an earlier one, one in a hundred repeats it but for two words.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def write(path: Path, count: int, seed: int = 0) -> None:
    """Write `count` rows to `path`."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwygpbvk"))
    vocabulary = np.array(
        ["".join(rng.choice(letters, length)) for length in rng.integers(2, 11, 30_000)], dtype=object
    )
    weights = 1 / np.arange(1, 30_001) ** 0.9
    weights /= weights.sum()
    kept: list[tuple[str, str, list[str]]] = []
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, count, 20_000):
            size = min(20_000, count - start)
            asked = rng.integers(6, 16, size)
            given = np.where(rng.random(size) < 0.4, rng.integers(5, 30, size), 0)
            said = np.clip(rng.lognormal(3.4, 0.8, size), 2, 400).astype(int)
            words = rng.choice(vocabulary, int((asked + given + said).sum()), p=weights)
            kind = rng.random(size)
            place = 0
            for i in range(size):
                question = " ".join(words[place : place + asked[i]])
                extra = " ".join(words[place + asked[i] : place + asked[i] + given[i]])
                answer = list(words[place + asked[i] + given[i] : place + asked[i] + given[i] + said[i]])
                place += asked[i] + given[i] + said[i]
                if kept and kind[i] < 0.02:
                    question, extra, answer = kept[int(rng.integers(len(kept)))]
                    if kind[i] < 0.01:
                        answer = list(answer)
                        for at in rng.integers(0, len(answer), 2):
                            answer[at] = "changed"
                elif len(kept) < 50_000:
                    kept.append((question, extra, answer))
                row = {"instruction": question.capitalize() + ".", "input": extra, "output": " ".join(answer) + "."}
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
