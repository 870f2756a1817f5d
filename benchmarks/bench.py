"""`bench` beside lm-eval's own backend: the same items, the same exemplars, in turn.

    OMP_NUM_THREADS=1 python benchmarks/bench.py --data FOLDER [--exemplars fixed] [--tasks TASK:SHOTS:ITEMS …]
        [--rounds 3] [--peer-rounds 1] [--batch-size 8] [--model smollm2-135m] [--save]

Each side is one process that loads the model and then waits for its turns: ours is the model class of `bench`, the
other is lm-eval's `HFLM` with the same weights, tokenizer and batch size. Both score lm-eval's own task objects
through `lm_eval.evaluate`, over the first items of each task. One item of each task warms both up. Then the sides
take turns, `--rounds` times for each task (the peer `--peer-rounds` times, where that is less). Printed are the
medians of the seconds, the median of the ratios of turns that followed each other, the largest difference between two
log-probabilities, both scores, and each side's peak memory at its end. Building the prompts is in both sides'
seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from sides import Comparison

TASKS = {
    "parity": (
        "arc_challenge:25:10",
        "hellaswag:10:10",
        "mmlu_anatomy:5:10",
        "mmlu_virology:5:10",
        "truthfulqa_mc2:0:10",
    ),
    "fixed": ("arc_challenge:25:50", "hellaswag:10:50"),
}

ASKED = {
    "parity": {"arc": 4, "hellaswag": 4, "mmlu": 3, "truthfulqa": 5},
    "fixed": {"arc": 12, "hellaswag": 12},
}
"""How many times faster was asked for, by what a task's name begins with."""


def serve(given: argparse.Namespace) -> None:
    """Be one side: score what each line on stdin names, and answer with one line."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    from tunescope.models import load
    from tunescope.models.generate import context_of
    from tunescope.models.settings import ModelSettings
    from tunescope.verbs.bench.lm import SharedBeginningLM, silence_lm_eval
    from tunescope.verbs.bench.tasks.build import build
    from tunescope.verbs.bench.tasks.catalogue import find_suite

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    loaded = load(ModelSettings(model=given.model))
    if given.serve == "ours":
        lm = SharedBeginningLM(loaded.model, loaded.tokenizer, given.batch_size)
    else:
        with silence_lm_eval():
            lm = HFLM(
                pretrained=loaded.model,
                tokenizer=loaded.tokenizer,
                backend="causal",
                batch_size=given.batch_size,
                max_length=context_of(loaded.model),
            )
    for line in sys.stdin:
        name, shots, items = line.split()
        (use,) = find_suite([name], shots=int(shots)).uses
        (task,) = build(use, Path(given.data), exemplars=given.exemplars).tasks
        task.set_fewshot_seed(1234)
        began = time.perf_counter()
        with silence_lm_eval():
            found = evaluate(lm, {"tasks": {name: task}, "groups": {}}, limit=int(items), bootstrap_iters=0)
        seconds = time.perf_counter() - began
        samples = found["samples"][name]
        answer = {
            "seconds": seconds,
            "score": statistics.mean(sample[use.metric] for sample in samples),
            "replies": [reply[0] for sample in samples for reply in sample["filtered_resps"]],
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(answer), file=answers, flush=True)


class Side:
    """One side's process."""

    def __init__(self, name: str, given: argparse.Namespace) -> None:
        said = [
            f"--{key.replace('_', '-')}={getattr(given, key)}" for key in ("data", "exemplars", "batch_size", "model")
        ]
        command = [sys.executable, __file__, f"--serve={name}", *said]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def score(self, name: str, shots: str, items: str) -> dict:
        """Score a task's first items."""
        print(name, shots, items, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def measure(given: argparse.Namespace) -> list[dict]:
    """Let the sides take turns at every task; return what came of each task."""
    sides = {name: Side(name, given) for name in ("ours", "peer")}
    tasks = [task.split(":") for task in given.tasks or TASKS[given.exemplars]]
    records = []
    for name, shots, items in tasks:
        for side in sides.values():
            side.score(name, shots, "1")
        turns: dict[str, list[dict]] = {"ours": [], "peer": []}
        for number in range(given.rounds):
            for side in ("ours", "peer") if number < given.peer_rounds else ("ours",):
                turns[side].append(sides[side].score(name, shots, items))
        seconds = {side: [turn["seconds"] for turn in each] for side, each in turns.items()}
        ours, peer = turns["ours"][0], turns["peer"][0]
        record = {
            "task": name,
            "shots": int(shots),
            "items": int(items),
            "exemplars": given.exemplars,
            "seconds": {side: [round(each, 2) for each in values] for side, values in seconds.items()},
            "ratio": statistics.median(b / a for a, b in zip(seconds["ours"], seconds["peer"], strict=False)),
            "apart": max(abs(a - b) for a, b in zip(ours["replies"], peer["replies"], strict=True)),
            "scores": [ours["score"], peer["score"]],
            "mb": {side: round(each[-1]["mb"]) for side, each in turns.items()},
        }
        print(json.dumps(record), flush=True)
        records.append(record)
    for side in sides.values():
        side.process.stdin.close()
    return records


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--exemplars", choices=sorted(TASKS), default="parity")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--save", action="store_true", help="keep the comparisons for RESULTS.md")
    parser.add_argument("--serve", choices=("ours", "peer"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given)
        return
    records = measure(given)
    print("\n| task | exemplars | items | ours, s | lm-eval, s | times faster | log-probs apart | scores | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for each in records:
        ours, peer = (statistics.median(each["seconds"][side]) for side in ("ours", "peer"))
        print(
            f"| {each['task']} | {each['shots']}, {each['exemplars']} | {each['items']} | {ours:.1f} | {peer:.1f} "
            f"| {each['ratio']:.1f} | {each['apart']:.1e} | {each['scores'][0]:.3f}, {each['scores'][1]:.3f} "
            f"| {each['mb']['ours']}, {each['mb']['peer']} |"
        )
    for each in records if given.save else ():
        Comparison(
            name=f"bench-{each['exemplars']}-{each['task']}",
            what=f"`bench`: {each['items']} questions of {each['task']}, {each['shots']} examples "
            f"({each['exemplars']}), {given.model}",
            peer=f"lm-eval {version('lm-eval')}, its own backend, batches of {given.batch_size}",
            ours=each["seconds"]["ours"],
            theirs=each["seconds"]["peer"],
            same=f"log-probabilities at most {each['apart']:.1e} apart, scores {each['scores'][0]:.3f} and "
            f"{each['scores'][1]:.3f}",
            asked=ASKED[each["exemplars"]].get(each["task"].partition("_")[0]),
            memory_mb=(each["mb"]["ours"], each["mb"]["peer"]),
            packages=("torch", "transformers", "lm-eval"),
        ).save()


if __name__ == "__main__":
    main()
