"""52,000 rows of real text, for benchmarks of `trace`: the instruction rows at hand, then models' answers as rows.

What is there is used once whole; then a chain of the second order over its words, seeded, writes more, so that words
and short phrases are about as common as in real rows.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
WORD = re.compile(r"\s*\S+")
FORGETS = 0.15
"""How often only the last word counts: so no long passage stands twice."""


def rows(count: int = 52_000, seed: int = 0) -> list[dict[str, str]]:
    """Return `count` Alpaca rows of about 540 bytes each."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for path in sorted((DATA / "instructions").glob("*.json")):
        for row in json.loads(path.read_text("utf-8")):
            _put(found, row["instruction"], row.get("input") or "", row["output"])
    for path in sorted((DATA / "alpaca_eval" / "annotations").glob("*.json")):
        for record in json.loads(path.read_text("utf-8")):
            for side in ("output_1", "output_2"):
                _put(found, record["instruction"], "", record[side])
    real = list(found.values())
    rng = random.Random(seed)
    asked, said = _Chain([row["instruction"] for row in real]), _Chain([row["output"] for row in real])
    while len(real) < count:
        answer = said.write(rng, min(400, max(2, int(rng.lognormvariate(4.0, 0.9)))))
        real.append({"instruction": asked.write(rng, rng.randint(6, 16)), "input": "", "output": answer})
    return real[:count]


class _Chain:
    """Which words follow two others in texts."""

    def __init__(self, texts: list[str]) -> None:
        self.first: list[tuple[str, str]] = []
        self.next: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for text in texts:
            words = WORD.findall(text)
            self.first += [(words[0], words[1])] if len(words) > 1 else []
            for a, b, c in zip(words, words[1:], words[2:], strict=False):
                self.next[a, b].append(c)
                self.next[b,].append(c)

    def write(self, rng: random.Random, length: int) -> str:
        """Write `length` words."""
        made = list(rng.choice(self.first))
        while len(made) < length:
            context = (made[-1],) if rng.random() < FORGETS else (made[-2], made[-1])
            follow = self.next.get(context)
            made += [rng.choice(follow)] if follow else rng.choice(self.first)
        return "".join(made[:length]).strip()


def _put(found: dict[tuple[str, str], dict[str, str]], instruction: str, more: str, output: Any) -> None:
    if isinstance(output, str) and output.strip():
        found.setdefault((instruction, output), {"instruction": instruction, "input": more, "output": output})


def write(path: Path, count: int = 52_000, seed: int = 0) -> None:
    """Write them as one JSON array."""
    path.write_text(json.dumps(rows(count, seed), indent=1, ensure_ascii=False), "utf-8")
