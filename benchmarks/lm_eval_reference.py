"""Write what lm-eval's own Hugging Face backend says on our tasks: log-probabilities and metrics of each question.

    python benchmarks/lm_eval_reference.py --data ../shared/data/benchmarks --limit 20 \
        --out tests/verbs/bench/data/lm_eval_reference.json arc_challenge:2 truthfulqa_mc2 mmlu_us_foreign_policy

`NAME:SHOTS` asks with that many exemplars. The model is in float32, one row a batch; exemplars are lm-eval's own.

    python benchmarks/lm_eval_reference.py --out FILE --compare RUN

says how far a run of `bench` on the same tasks and items is from such a file: the largest difference between two
log-probabilities, and whether greedy choices, answers and metrics are equal.
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
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--model", default="smollm2-135m")
    given = parser.parse_args()
    if given.compare:
        compare(json.loads(given.out.read_text("utf-8")), given.compare)
        return

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
            "replies": [
                reply if isinstance(reply, str) else [round(reply[0], 6), reply[1]]
                for reply in sample["filtered_resps"]
            ],
            "metrics": {metric: sample[metric] for metric in metrics},
        }
        for sample in results["samples"][name]
    ]
    return {"shots": task.config.num_fewshot, "metrics": metrics, "items": items}


def compare(reference: dict, run: Path) -> None:
    """Print, per task, how far a run's replies and metrics are from lm-eval's."""
    print(
        "| task | exemplars | items | log-probs apart, at most | first choices, texts | metrics |\n"
        "|---|---|---|---|---|---|"
    )
    for name, theirs in reference["tasks"].items():
        lines = (run / f"samples_{name}.jsonl").read_text("utf-8").splitlines()
        ours = {sample["doc_id"]: sample for sample in map(json.loads, lines)}
        apart, others, n_replies = 0.0, 0, 0
        for item in theirs["items"]:
            sample = ours[item["doc_id"]]
            assert sample["prompt_hash"] == item["prompt_hash"], f"{name}: another prompt"
            for own, reply in zip(sample["filtered_resps"], item["replies"], strict=True):
                n_replies += 1
                is_text = isinstance(reply, str)
                others += own != reply if is_text else bool(own[1]) != reply[1]
                apart = apart if is_text else max(apart, abs(own[0] - reply[0]))
        same = all(
            abs(ours[item["doc_id"]][metric] - value) < 1e-3
            for item in theirs["items"]
            for metric, value in item["metrics"].items()
            if isinstance(value, int | float)
        )
        said = ", ".join(f"{metric} {value:.3f}" for metric, value in theirs["metrics"].items())
        equal = f"{n_replies} equal" if not others else f"{others} of {n_replies} others"
        spans = f"{apart:.1e}" if not isinstance(theirs["items"][0]["replies"][0], str) else "–"
        said += ": equal" if same else ": OTHERS"
        print(f"| {name} | {theirs['shots']} | {len(ours)} | {spans} | {equal} | {said} |")


if __name__ == "__main__":
    main()
