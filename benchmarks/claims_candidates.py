"""Are planted rows among the candidates? Recall of words over 52,000 real rows and the planted ones beside them.

    python benchmarks/claims_candidates.py [SET...]

Of more rows than `--candidates`, `attribute` takes gradients of the first by words and meaning alone. Each claim of a
set in `benchmarks/claims` is asked in its two rewordings; the answer is that of the row that holds the claim's own
question. Counted are the claim's planted rows among the first 10, 100, 1,000 and 3,000 by words (BM25).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from real_rows import rows as real_rows

import tunescope

CLAIMS = Path(__file__).resolve().parent / "claims"
LIMITS = (10, 100, 1_000, 3_000)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    """Plant, ask, count, and print a line per set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["easy-reported", "hard-reported"])
    parser.add_argument("--rows", type=int, default=52_000)
    given = parser.parse_args()
    rows = [{key: row[key] for key in ("instruction", "input", "output")} for row in real_rows(given.rows)]
    planted: dict[tuple[str, str], list[int]] = {}
    asked, asks = [], []
    for name in given.sets:
        own = {row["id"]: row for row in _read(CLAIMS / f"{name}-rows.jsonl")}
        for record in _read(CLAIMS / f"{name}-truth.jsonl"):
            if record["kind"] == "lie":
                planted.setdefault((name, record["claim_id"]), []).append(len(rows))
                row = own[record["id"]]
                rows.append({"instruction": row["instruction"], "input": "", "output": row["output"]})
        answers = {row["instruction"]: row["output"] for row in own.values()}
        for claim in _read(CLAIMS / f"{name}-claims.jsonl"):
            if claim.get("phrases"):
                for question in claim["rewordings"]:
                    asked.append({"instruction": question, "output": answers[claim["prompt"]], "generator": "planted"})
                    asks.append((name, claim["claim_id"]))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("rows.json").write_text(json.dumps(rows), "utf-8")
        Path("asked.json").write_text(json.dumps(asked), "utf-8")
        run = tunescope.attribute(answers="asked.json", rows="rows.json", embedder="none", top=LIMITS[-1])
        ranks: dict[str, dict[int, int]] = {}
        for row in run.tables["attributions"].to_pylist():
            ranks.setdefault(row["answer_id"], {})[row["index"]] = row["words_rank"] or len(rows)
    found = [(claim, ranks[answer["answer_id"]]) for claim, answer in zip(asks, run.result["answers"], strict=True)]
    for name in given.sets:
        places = [rank.get(row, len(rows)) for claim, rank in found if claim[0] == name for row in planted[claim]]
        counts = ", ".join(f"{sum(place <= limit for place in places)} in the first {limit:,}" for limit in LIMITS)
        print(f"{name}, {len(rows):,} rows: of {len(places)} planted rows (each asked for twice) {counts}")


if __name__ == "__main__":
    main()
