"""What unsloth supervises: its trainer on its CPU backend, and its train_on_responses_only.

    python benchmarks/trainer_masks/dump_unsloth.py WORK OUT.json

The rows are rendered to a column `text` by the tokenizer's template, as its notebooks do it.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

os.environ["UNSLOTH_FORCE_CPU"] = "1"
import dumping

WAYS = {
    "text": "SFTTrainer on the rendered text: every token",
    "responses_only": "the same, then train_on_responses_only, which finds the parts by itself",
}


@cache
def _model(vocabulary: str) -> Any:
    return dumping.tiny_model(dumping.load_tokenizer(Path(vocabulary).parents[1], {"case": Path(vocabulary).name}))


def prepare(work: Path, case: dict[str, Any], rows: list[dict[str, Any]], way: str) -> list[dict[str, list[int]]]:
    """Return ids and labels as the trainer's collator makes them."""
    import unsloth  # noqa: F401  it patches the trainer
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer
    from unsloth.chat_templates import train_on_responses_only

    tokenizer = dumping.load_tokenizer(work, case)
    texts = [tokenizer.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            dataset_text_field="text",
            max_length=case["max_length"],
            per_device_train_batch_size=1,
            report_to="none",
            use_cpu=True,
            bf16=False,
        )
        trainer = SFTTrainer(
            model=_model(str(work / "tokenizers" / case["case"])),
            args=config,
            train_dataset=Dataset.from_dict({"text": texts}),
            processing_class=tokenizer,
        )
        if way == "responses_only":
            trainer = train_on_responses_only(trainer)
        names = [
            name for name in ("input_ids", "attention_mask", "labels") if name in trainer.train_dataset.column_names
        ]
        kept = [{name: record[name] for name in names} for record in trainer.train_dataset]
        return [dumping.without_padding(trainer.data_collator([record])) for record in kept]


if __name__ == "__main__":
    dumping.dump(("unsloth", "unsloth_zoo", "datasets", "trl"), WAYS, prepare)
