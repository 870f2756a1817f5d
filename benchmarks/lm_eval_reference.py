"""Write what lm-eval's own Hugging Face backend says on our tasks: log-probabilities and metrics of each question.

    python benchmarks/lm_eval_reference.py --data ../shared/data/benchmarks --limit 20 \
        --out tests/verbs/bench/data/lm_eval_reference.json arc_challenge:2 truthfulqa_mc2 mmlu_us_foreign_policy

`NAME:SHOTS` asks with that many exemplars. The model is in float32, one row a batch; exemplars are lm-eval's own.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib.metadata import version
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
SEED = 1234
"""lm-eval's default seed of the exemplars."""


def main() -> None:
    """Score, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--model", default="smollm2-135m")
    given = parser.parse_args()

    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from tunescope.models import load

    tasks = [task for said in given.tasks for task in make(said, given.data)]
    loaded = load(given.model)
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=loaded.model.to(torch.float32), tokenizer=loaded.tokenizer, batch_size=1),
        tasks=tasks,
        task_manager=TaskManager(include_defaults=False),
        limit=given.limit,
        fewshot_random_seed=SEED,
        bootstrap_iters=0,
    )
    reference = {
        "model": given.model,
        "lm_eval": version("lm_eval"),
        "transformers": version("transformers"),
        "torch": version("torch"),
        "seed": SEED,
        "limit": given.limit,
        "tasks": {task.task_name: record(task, results) for task in tasks},
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(reference, indent=1) + "\n", "utf-8")
    for name, task in reference["tasks"].items():
        print(name, {"shots": task["shots"], "n": len(task["items"])} | task["metrics"])


def make(said: str, data: Path) -> tuple:
    """Return the tasks that `NAME` or `NAME:SHOTS` means."""
    from tunescope.verbs.bench.tasks.build import build
    from tunescope.verbs.bench.tasks.catalogue import find_suite

    name, _, shots = said.partition(":")
    (use,) = find_suite([name], shots=int(shots) if shots else None).uses
    return build(use, data).tasks


def record(task: object, results: dict) -> dict:
    """Return a task's metrics and, per question, the hash of its prompt, the replies (log-probability, is greedy)."""
    name = task.task_name
    metrics = {
        key.removesuffix(",none"): value
        for key, value in results["results"][name].items()
        if key.endswith(",none") and "stderr" not in key
    }
    items = [
        {
            "doc_id": sample["doc_id"],
            "prompt_hash": sample["prompt_hash"],
            "replies": [[round(reply[0], 6), reply[1]] for reply in sample["filtered_resps"]],
            "metrics": {metric: sample[metric] for metric in metrics},
        }
        for sample in results["samples"][name]
    ]
    return {"shots": task.config.num_fewshot, "metrics": metrics, "items": items}


if __name__ == "__main__":
    main()
