"""Write the cases that every trainer is given: tokenizers with their templates, and rows; run in our own environment.

    python benchmarks/trainer_masks/prepare.py WORK

A case is a tokenizer with a chat template, a length and the names of the rows in conversations.json. The embedded
model's tokenizer has its own template and TRL's `qwen2_5`; two long rows are cut. Each template that TRL ships has a
stand-in tokenizer (a token per byte, and one for each special token that the template writes).
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

from tunescope.chat.masks import without_model
from tunescope.models import DEFAULT, load_tokenizer, silence_libraries

HERE = Path(__file__).parent
ROWS = HERE / "conversations.json"
LONG = ("long answer", "long prompt")
"""Rows that are cut."""
WHOLE = 4096
"""Tokens that no other row has."""
SHORT = ("one turn", "system", "two turns", "thinking", "tool call")
"""Rows for the stand-in tokenizers: those whose templates differ."""


def trl_templates() -> dict[str, Path]:
    """Return the templates that TRL ships, by name, without those that it patches for training."""
    spec = find_spec("trl")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "chat_templates"
    return {path.stem: path for path in sorted(folder.glob("*.jinja")) if not path.stem.endswith("_training")}


def read_conversations() -> dict[str, dict]:
    """Return the rows by name."""
    return {row["row"]: row for row in json.loads(ROWS.read_text("utf-8"))}


def embedded_cases(work: Path) -> list[dict]:
    """Save the embedded model's tokenizer with two templates; return their cases."""
    cases = []
    for name in ("own", "qwen2_5"):
        tokenizer, stop_ids = load_tokenizer(DEFAULT)
        if name != "own":
            tokenizer.chat_template = trl_templates()[name].read_text("utf-8")
        whole = [row for row in read_conversations() if row not in LONG]
        for ending, length, rows in (("", WHOLE, whole), (" cut", 64, list(LONG))):
            cases.append(_save(work, tokenizer, DEFAULT, name, sorted(stop_ids), length, rows, ending))
    return cases


def stand_in_case(work: Path, name: str) -> dict:
    """Save a stand-in tokenizer with one of TRL's templates; return its case."""
    masked = without_model(str(trl_templates()[name]), {})
    tokenizer = masked.chat.tokenizer
    return _save(work, tokenizer, "stand-in", name, sorted(masked.chat.stop_ids), WHOLE, list(SHORT))


def _save(work, tokenizer, kind, template, stop_ids, max_length, rows, ending="") -> dict:
    name = f"{kind} {template}{ending}"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.save_pretrained(work / "tokenizers" / name)
    return {
        "case": name,
        "tokenizer": kind,
        "template": template,
        "stop_ids": stop_ids,
        "max_length": max_length,
        "rows": rows,
    }


def main() -> None:
    """Write WORK/cases.json, WORK/rows.json and WORK/tokenizers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    with silence_libraries():
        cases = [*embedded_cases(work), *(stand_in_case(work, name) for name in trl_templates())]
    (work / "cases.json").write_text(json.dumps(cases, indent=1), "utf-8")
    (work / "rows.json").write_text(json.dumps(read_conversations(), ensure_ascii=False), "utf-8")
    print(f"{len(cases)} cases, {sum(len(case['rows']) for case in cases)} rows")


if __name__ == "__main__":
    main()
