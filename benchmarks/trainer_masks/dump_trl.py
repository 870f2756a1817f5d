"""What TRL's SFTTrainer supervises: its own preparation and its own collator.

python benchmarks/trainer_masks/dump_trl.py WORK OUT.json
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import dumping

WAYS = {
    "all": "rows of messages, SFTConfig as it comes: every token",
    "assistant_only": "rows of messages, assistant_only_loss=True",
    "completion": "the last answer as completion, what is before it as prompt",
}


@cache
def _model(vocabulary: str) -> Any:
    return dumping.tiny_model(dumping.load_tokenizer(Path(vocabulary).parents[1], {"case": Path(vocabulary).name}))


def _row(row: dict[str, Any], way: str) -> dict[str, Any]:
    messages = row["messages"]
    columns = {"prompt": messages[:-1], "completion": messages[-1:]} if way == "completion" else {"messages": messages}
    return columns | ({"tools": row["tools"]} if "tools" in row else {})


def prepare(work: Path, case: dict[str, Any], rows: list[dict[str, Any]], way: str) -> list[dict[str, list[int]]]:
    """Return ids and labels as the trainer's collator makes them."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = dumping.load_tokenizer(work, case)
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            max_length=case["max_length"],
            assistant_only_loss=way == "assistant_only",
            per_device_train_batch_size=1,
            report_to="none",
            use_cpu=True,
            bf16=False,
        )
        trainer = SFTTrainer(
            model=_model(str(work / "tokenizers" / case["case"])),
            args=config,
            train_dataset=Dataset.from_list([_row(row, way) for row in rows]),
            processing_class=tokenizer,
        )
        kept = [{key: record[key] for key in ("input_ids", "labels")} for record in trainer.train_dataset]
        return [dumping.without_padding(trainer.data_collator([record])) for record in kept]


if __name__ == "__main__":
    dumping.dump(("trl", "datasets"), WAYS, prepare)
