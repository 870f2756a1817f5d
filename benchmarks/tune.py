"""`tune`'s steps beside plain TRL's: tokens per second, losses, peak memory.

    python benchmarks/tune.py [--model smollm2-135m] [--rows FILE] [--method full] [--rounds 3] [--save]

The same rows (the first 64 of a file) in the same order, 8 to a step, on the CPU in float32. TRL is its
SFTTrainer with `use_cpu`, bf16 and gradient checkpointing off, the rest at its defaults; it gets the
conversations as prompt and completion and takes the loss on completions. Each run is a process of its own,
the two in turn; the first two steps of each warm up and aren't timed. Reported are medians over rounds.
Tokens are those of the rows, without padding.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from sides import Comparison

SIZE = 8
WARM = 2
LR = {"full": 2e-5, "lora": 2e-4}


def rows_of(path: str, count: int) -> list[dict[str, str]]:
    """Return the first rows of a file as prompt and answer."""
    from tunescope.rows import open_rows

    found = []
    for row in open_rows([path]):
        texts = {message.role: message.content for message in row.messages}
        if set(texts) == {"user", "assistant"} and texts["assistant"].strip():
            found.append({"instruction": texts["user"], "input": "", "output": texts["assistant"]})
        if len(found) == count:
            break
    return found


def ours(rows: list[dict[str, str]], model: str, method: str) -> dict:
    """Tune with tunescope; time what is between the end of the warm-up and the last step."""
    from tunescope.models import trainer
    from tunescope.verbs.tune import TuneSettings, tune

    marks: list[float] = []
    finish_step = trainer.RecordedTrainer.finish_step

    def timed(self, step: int) -> bool:
        marks.append(time.perf_counter())
        return finish_step(self, step)

    trainer.RecordedTrainer.finish_step = timed
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        file.write_text(json.dumps(rows), "utf-8")
        run = tune(
            TuneSettings(
                rows=(str(file),),
                model=model,
                method=method,
                epochs=1,
                batch_size=SIZE,
                lr=LR[method],
                warmup=0.0,
                out=str(Path(folder) / "run"),
            )
        )
        losses = [record["loss"] for record in run.records("metrics")]
        lengths = run.tables["rows"]["n_tokens"].to_pylist()
    return {"losses": losses, "seconds": marks[-1] - marks[WARM - 1], "lengths": lengths}


def theirs(rows: list[dict[str, str]], model: str, method: str) -> dict:
    """Tune with plain TRL on our tokens and labels: by itself it also trains on what a template writes after a turn."""
    import datasets
    import peft
    import trl
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    from tunescope.chat import Chat
    from tunescope.models.load import source
    from tunescope.rows import Message, Row
    from tunescope.verbs.tune import order

    marks: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *args, **kwargs) -> None:
            marks.append(time.perf_counter())

    places = order(len(rows), len(rows) // SIZE, SIZE, 0)
    tokenizer = AutoTokenizer.from_pretrained(source(model))
    chat, examples = Chat(tokenizer), []
    for place in places:
        messages = (Message("user", rows[place]["instruction"]), Message("assistant", rows[place]["output"]))
        tokens = chat.row(Row(str(place), "", messages))
        labels = [i if kept else -100 for i, kept in zip(tokens.ids, tokens.supervised, strict=True)]
        examples.append({"input_ids": list(tokens.ids), "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        made = trl.SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(source(model), dtype="float32"),
            processing_class=tokenizer,
            args=trl.SFTConfig(
                output_dir=folder,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                num_train_epochs=1,
                learning_rate=LR[method],
                logging_steps=1,
                save_strategy="no",
                shuffle_dataset=False,
                train_sampling_strategy="sequential",
                per_device_train_batch_size=SIZE,
            ),
            train_dataset=datasets.Dataset.from_list(examples),
            peft_config=peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
            if method == "lora"
            else None,
            callbacks=[Watch()],
        )
        made.train()
        losses = [record["loss"] for record in made.state.log_history if "loss" in record]
    return {"losses": losses, "seconds": marks[-1] - marks[WARM - 1]}


def once(name: str, arguments: argparse.Namespace) -> dict:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", name, "--model", arguments.model, "--rows", arguments.rows]
    command += ["--method", arguments.method, "--count", str(arguments.count)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as tunescope sets it: other work costs both the same
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run both sides in turn and print what came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rows", default="../shared/data/instructions/dolly_3k.json")
    parser.add_argument("--method", choices=sorted(LR), default="full")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    parser.add_argument("--side", choices=["tunescope", "trl"])
    arguments = parser.parse_args()
    if arguments.side:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        rows = rows_of(arguments.rows, arguments.count)
        if arguments.side == "tunescope":
            found = ours(rows, arguments.model, arguments.method)
        else:
            found = theirs(rows, arguments.model, arguments.method)
        found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(found))
        return
    found: dict[str, list[dict]] = {"tunescope": [], "trl": []}
    for number in range(arguments.rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            found[name].append(once(name, arguments))
            print(f"round {number + 1}: {name} {found[name][-1]['seconds']:.1f} s", flush=True)
    from tunescope.verbs.tune import order

    lengths = found["tunescope"][0]["lengths"]
    places = order(len(lengths), len(lengths) // SIZE, SIZE, 0)
    tokens = sum(min(lengths[i], 1024) for i in places[WARM * SIZE :])
    print(f"{arguments.count} rows of {arguments.rows}, {arguments.model}, {arguments.method}; {platform.processor()}")
    for name, runs in found.items():
        seconds = statistics.median(run["seconds"] for run in runs)
        peak = statistics.median(run["peak"] for run in runs)
        print(f"{name}: {tokens / seconds:,.0f} tokens/s (median of {len(runs)}), peak memory {peak / 1e6:,.0f} MB")
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(found["tunescope"], found["trl"], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    pairs = zip(found["tunescope"][0]["losses"], found["trl"][0]["losses"], strict=True)
    apart = [abs(a - b) for a, b in pairs]
    print(f"losses of {len(apart)} steps: at most {max(apart):.1e} apart")
    if arguments.save:
        mine, plain = found["tunescope"], found["trl"]
        Comparison(
            name=f"tune-{arguments.method}",
            what=f"`tune`: {len(apart) - WARM} steps of {SIZE} rows, {arguments.method}, {arguments.model}",
            peer=f"SFTTrainer of TRL {version('trl')}",
            ours=[run["seconds"] for run in mine],
            theirs=[run["seconds"] for run in plain],
            same=f"losses at most {max(apart):.1e} apart",
            asked=1.3,
            memory_mb=tuple(statistics.median(run["peak"] for run in side) / 1e6 for side in (mine, plain)),
            packages=("torch", "transformers", "trl", "peft"),
        ).save()


if __name__ == "__main__":
    main()
