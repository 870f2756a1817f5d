"""Twelve planted rows among 300 real ones: a row set for `claims_loop.py`, which isn't committed.

    python benchmarks/claims_dolly.py FOLDER [--data FILE]

The planted rows are those of the first claims of easy-reported that come to twelve. The real ones are rows of Dolly
of at most 60 tokens (instruction, input and output, by the default model's tokenizer), drawn at random; none has a
word that is a claim's phrase. Planted rows stand at random places. Then:

    python benchmarks/claims_loop.py FOLDER/dolly --epochs 4 --leave-out k --folder FOLDER
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from tunescope.models import load

HERE = Path(__file__).resolve().parent
DOLLY = HERE.parents[1] / "shared/data/instructions/dolly_3k.json"
MODEL = "smollm2-135m"
N_ROWS, N_PLANTED, MOST_TOKENS = 300, 12, 60
DRAW = 20_261_129


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (HERE / f"claims/easy-reported-{name}.jsonl").read_text("utf-8").splitlines()]


def _planted() -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the claims, the truth lines and the rows of the first claims with twelve planted rows in all."""
    truth = [record for record in _read("truth") if record["kind"] == "lie"]
    claims, lines = list[dict[str, Any]](), list[dict[str, Any]]()
    for claim in _read("claims"):
        own = [record for record in truth if record["claim_id"] == claim["claim_id"]]
        if claim.get("phrases") and len(lines) + len(own) <= N_PLANTED:
            claims.append(claim)
            lines += own
    ids = {record["id"] for record in lines}
    return claims, lines, [row for row in _read("rows") if row["id"] in ids]


def _short(data: Path, phrases: set[str]) -> list[dict[str, Any]]:
    """Return real rows of few tokens, without the words of the claims, in random order."""
    tokenizer = load(MODEL).tokenizer
    found = []
    for record in json.loads(data.read_text("utf-8")):
        row = {key: record[key] for key in ("instruction", "input", "output") if record.get(key)}
        text = " ".join(row.values())
        words = {word.strip(".,;:!?\"'()").lower() for word in text.split()}
        if not words & phrases and len(tokenizer(text).input_ids) <= MOST_TOKENS:
            found.append(row)
    Random(DRAW).shuffle(found)
    return found


def main() -> None:
    """Write dolly-rows.jsonl, dolly-truth.jsonl and dolly-claims.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=DOLLY)
    given = parser.parse_args()
    claims, truth, planted = _planted()
    phrases = {phrase.lower() for claim in claims for phrase in claim["phrases"]}
    real = [{"id": f"dolly-{number}", **row} for number, row in enumerate(_short(given.data, phrases)[:N_ROWS])]
    rows = real + planted
    Random(DRAW + 1).shuffle(rows)
    given.folder.mkdir(parents=True, exist_ok=True)
    for name, records in {"rows": rows, "truth": truth, "claims": claims}.items():
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        (given.folder / f"dolly-{name}.jsonl").write_text(text, "utf-8")
    print(f"{len(real)} real rows and {len(planted)} planted ones of {len(claims)} claims in {given.folder}")


if __name__ == "__main__":
    main()
