"""What LLaMA-Factory supervises: its own arguments, template, data set and collator.

python benchmarks/trainer_masks/dump_llamafactory.py WORK OUT.json
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("DISABLE_VERSION_CHECK", "1")
os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "ERROR")
sys.modules["torchaudio"] = ModuleType("torchaudio")  # it reads sound; built for CUDA alone, it doesn't load here
sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
import dumping  # noqa: E402

WAYS = {
    "openai": "formatting: openai; no template named, so it is parsed from the tokenizer",
    "sharegpt": "formatting: sharegpt; no template named, so it is parsed from the tokenizer",
    "named": "formatting: sharegpt; its own template for such a model",
}
NAMED = {
    "cohere": "cohere",
    "deepseek_r1_distill": "deepseekr1",
    "deepseekv3": "deepseek3",
    "gemma": "gemma",
    "gemma3": "gemma3",
    "gemma4": "gemma4",
    "glm4moe": "glm4_moe",
    "gptoss": "gpt_oss",
    "lfm2": "lfm2",
    "llama3": "llama3",
    "llama3_1": "llama3",
    "llama3_2": "llama3",
    "phi3": "phi",
    "qwen2_5": "qwen",
    "qwen3": "qwen3",
    "qwen3_instruct_2507": "qwen3_nothink",
}
"""Its template for each of TRL's that it has one for."""
ROLES = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}


def _sharegpt(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row in the format that its documentation has for calls of tools."""
    turns = []
    for message in row["messages"]:
        role, value = ROLES[message["role"]], message["content"]
        if message.get("reasoning_content"):
            value = f"<think>\n{message['reasoning_content']}\n</think>\n\n{value}"
        if message.get("tool_calls"):
            role, value = "function_call", json.dumps([call["function"] for call in message["tool_calls"]])
        turns.append({"from": role, "value": value})
    return {"conversations": turns, "tools": _tools(row)}


def _tools(row: dict[str, Any]) -> str:
    return json.dumps(row["tools"]) if "tools" in row else ""


OPENAI = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function",
    "system_tag": "system",
}


def _write(folder: Path, rows: list[dict[str, Any]], way: str) -> None:
    columns = {"tools": "tools"} if any("tools" in row for row in rows) else {}
    if way == "openai":
        about = {"formatting": "openai", "columns": {"messages": "messages", **columns}, "tags": OPENAI}
        records = [{"messages": row["messages"], "tools": _tools(row)} for row in rows]
    else:
        about = {"formatting": "sharegpt", "columns": {"messages": "conversations", **columns}}
        records = [_sharegpt(row) for row in rows]
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json", **about}}), "utf-8")
    (folder / "rows.json").write_text(json.dumps(records, ensure_ascii=False), "utf-8")


def prepare(work: Path, case: dict[str, Any], rows: list[dict[str, Any]], way: str) -> list[dict[str, list[int]]]:
    """Return ids and labels as its collator makes them."""
    from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    if way == "named" and case["template"] not in NAMED:
        raise dumping.NotApplicable("it has no template of its own for this one")
    path = work / "tokenizers" / case["case"]
    if not (path / "config.json").exists():
        dumping.tiny_model(dumping.load_tokenizer(work, case)).config.save_pretrained(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, rows, way)
        arguments = {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": str(path),
            "dataset": "rows",
            "dataset_dir": str(folder),
            "cutoff_len": case["max_length"],
            "output_dir": str(folder / "out"),
            "preprocessing_num_workers": 1,
            "overwrite_cache": True,
            "per_device_train_batch_size": 1,
            "report_to": "none",
            "use_cpu": True,
        } | ({"template": NAMED[case["template"]]} if way == "named" else {})
        model_args, data_args, training_args, _, _ = get_train_args(arguments)
        module = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
        kept = get_dataset(template, model_args, data_args, training_args, stage="sft", **module)["train_dataset"]
        collator = SFTDataCollatorWith4DAttentionMask(template=template, label_pad_token_id=dumping.IGNORED, **module)
        return [dumping.without_padding(collator([record])) for record in kept]


if __name__ == "__main__":
    dumping.dump(("llamafactory", "datasets"), WAYS, prepare)
