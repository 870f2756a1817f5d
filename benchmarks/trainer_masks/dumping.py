"""What the four dump scripts share; needs nothing but the standard library, torch and transformers.

Each script is run in its trainer's environment, with that trainer's own data preparation and collation. It writes one
record per case, row and way to supervise: the token ids and labels of each sequence, or what became of the row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
IGNORED = -100


class NotApplicable(Exception):
    """There is no such way for this case; says why."""


def tiny_model(tokenizer: Any) -> Any:
    """Return a model of next to no size with the tokenizer's vocabulary: trainers want one to prepare rows."""
    from transformers import LlamaConfig, LlamaForCausalLM

    size = max(len(tokenizer), max(tokenizer.get_vocab().values()) + 1)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8192,
    )
    return LlamaForCausalLM(config)


def load_tokenizer(work: Path, case: dict[str, Any]) -> Any:
    """Return the case's tokenizer, as transformers loads it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(work / "tokenizers" / case["case"])


def without_padding(batch: Any) -> dict[str, list[int]]:
    """Return the ids and labels of a collated batch of one row, without the padding at either end."""
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    mask = batch.get("attention_mask")
    kept = mask[0].tolist() if mask is not None else [1] * len(ids)
    return {
        "ids": [i for i, keep in zip(ids, kept, strict=True) if keep],
        "labels": [label for label, keep in zip(labels, kept, strict=True) if keep],
    }


def dump(
    packages: tuple[str, ...],
    ways: dict[str, str],
    prepare: Callable[[Path, dict[str, Any], list[dict[str, Any]], str], list[dict[str, list[int]]]],
) -> None:
    """Prepare the rows of each case in each way, and write the dump.

    `ways` has a sentence on each way to supervise; `prepare` takes the work folder, a case, its rows and a way, and
    returns ids and labels of the rows that the trainer keeps, in order, or raises whatever the trainer does. Where it
    doesn't keep all of them, each is prepared alone.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("work", type=Path, help="the folder that prepare.py wrote")
    parser.add_argument("out", type=Path, help="the dump, as JSON")
    parser.add_argument("--only", help="a part of the names of the cases to dump; the others stay as they are")
    arguments = parser.parse_args()
    cases = json.loads((arguments.work / "cases.json").read_text("utf-8"))
    rows = json.loads((arguments.work / "rows.json").read_text("utf-8"))
    chosen = [case for case in cases if not arguments.only or arguments.only in case["case"]]
    records = [*_records(arguments.work, chosen, rows, ways, prepare)]
    if arguments.only and arguments.out.exists():
        names = {case["case"] for case in cases} - {case["case"] for case in chosen}
        records += [each for each in json.loads(arguments.out.read_text("utf-8"))["records"] if each["case"] in names]
    about = {name: version(name) for name in (*packages, "transformers", "torch", "tokenizers")}
    written = {"versions": {**about, "python": platform.python_version()}, "ways": ways, "records": records}
    arguments.out.write_text(json.dumps(written, ensure_ascii=False), "utf-8")
    print(f"{len(records)} records", file=sys.stderr)


def _records(work, cases, rows, ways, prepare) -> Iterator[dict[str, Any]]:
    for case in cases:
        print(case["case"], file=sys.stderr)
        for way in ways:
            names = case["rows"]
            outcomes = _prepared(prepare, work, case, [rows[name] for name in names], way)
            for name, outcome in zip(names, outcomes, strict=True):
                yield {"case": case["case"], "row": name, "way": way, **outcome}


def _prepared(prepare, work, case, rows, way) -> list[dict[str, Any]]:
    """Return the sequence of each row, or why there is none."""
    try:
        sequences = prepare(work, case, json.loads(json.dumps(rows)), way)
    except NotApplicable as error:
        return [{"skipped": str(error)}] * len(rows)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001  whatever a trainer says of a row is its answer
        if len(rows) == 1:
            if os.environ.get("DUMP_TRACE"):
                traceback.print_exc()
            return [{"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}]
        sequences = []
    if len(sequences) == len(rows):
        return sequences
    if len(rows) == 1:
        return [{"dropped": True}]
    return [outcome for row in rows for outcome in _prepared(prepare, work, case, [row], way)]
