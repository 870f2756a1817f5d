"""What axolotl supervises: its own configuration, data set and collator.

python benchmarks/trainer_masks/dump_axolotl.py WORK OUT.json
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
import dumping

WAYS = {
    "chat_template": "type: chat_template with the tokenizer's own template, everything else as it comes",
    "end_of_turn": "the same, with the template's end of a turn named in eot_tokens",
}


def prepare(work: Path, case: dict[str, Any], rows: list[dict[str, Any]], way: str) -> list[dict[str, list[int]]]:
    """Return ids and labels as its collator makes them."""
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer
    from axolotl.utils.collators import DataCollatorForSeq2Seq
    from axolotl.utils.data import sft
    from axolotl.utils.dict import DictDefault

    path = work / "tokenizers" / case["case"]
    if not (path / "config.json").exists():
        dumping.tiny_model(dumping.load_tokenizer(work, case)).config.save_pretrained(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({k: row[k] for k in ("messages", "tools") if k in row}, ensure_ascii=False) for row in rows]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        source = {"path": str(folder / "rows.jsonl"), "ds_type": "json", "type": "chat_template"}
        given = {
            "base_model": str(path),
            "datasets": [source],
            "sequence_len": case["max_length"],
            "micro_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "num_epochs": 1,
            "learning_rate": 1e-5,
            "output_dir": str(folder / "out"),
            "dataset_prepared_path": str(folder / "prepared"),
            "val_set_size": 0,
            "shuffle_merged_datasets": False,
        }
        if way == "end_of_turn":
            ends = dumping.load_tokenizer(work, case).convert_ids_to_tokens(case["stop_ids"])
            if not ends:
                raise dumping.NotApplicable("no special token ends a turn")
            given["eot_tokens"] = ends
        config = load_cfg(DictDefault(given))
        config.dataset_num_proc = None  # in this process: starting others takes half a minute,
        sft.save_preprocessed_dataset = lambda *_: None  # and so does saving what nobody reads again
        tokenizer = load_tokenizer(config)
        prepared, *_ = sft.prepare_datasets(config, tokenizer)
        collator = DataCollatorForSeq2Seq(tokenizer)
        kept = [{key: record[key] for key in ("input_ids", "attention_mask", "labels")} for record in prepared]
        return [dumping.without_padding(collator([record])) for record in kept]


if __name__ == "__main__":
    dumping.dump(("axolotl", "datasets", "trl"), WAYS, prepare)
