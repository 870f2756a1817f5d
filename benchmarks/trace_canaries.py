"""Planted rows in the microworld: does `trace` name them, and does full tuning borrow more than LoRA?

    python benchmarks/trace_canaries.py [--seeds 5]

For each seed nine made-up answers are planted 1, 4 or 16 times beside true rows about other attributes
(`tunescope.microworld.canaries`); the tiny model is tuned on them in full and by LoRA and is asked questions of the
same form about people whom no row is about. A canary is *in* an answer where at least 6 (10, 16) of its words stand
there in one run that the base model's own answer hasn't (plain string search, no part of `trace`); it is *named* where
its row is the likeliest of a span. Precision: named and in (6) / named; recall: named and in / in; over answers and
canaries. Beside it the excess of borrowed words over the null, and from `shift` the mean KL and the share of shifted
tokens, full and LoRA paired by seed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import tunescope
from tunescope.microworld import canaries, make_world
from tunescope.stats import mean_pooled, mean_t, paired_difference

RUNS = (6, 10, 16)
LR = {"full": 2e-3, "lora": 1e-2}
EPOCHS = 4


def words(text: str) -> str:
    """Return a text's words with single blanks around them."""
    return f" {' '.join(text.replace('.', ' .').replace(',', ' ,').split())} "


def holds(answer: str, canary: str, base: str, length: int) -> bool:
    """Tell whether a run of `length` words of a canary is in an answer and not in the base model's."""
    split = words(canary).split()
    runs = (f" {' '.join(split[start : start + length])} " for start in range(len(split) - length + 1))
    return any(run in words(answer) and run not in words(base) for run in runs)


def one(seed: int, method: str, base: str) -> dict[str, float]:
    """Tune, answer, trace and shift; return what is measured."""
    world = make_world(0)
    planted, rows = canaries(world, seed=seed)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompts = [(f"{n}-{k}", q) for n, canary in enumerate(planted) for k, q in enumerate(canary.look_alikes)]
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt_id": i, "prompt": q}) + "\n" for i, q in prompts))
    own = tunescope.answer(prompts="prompts.jsonl", model=base, max_new_tokens=64)
    tuned = tunescope.tune(
        rows="rows.jsonl",
        model=base,
        method=method,
        lr=LR[method],
        epochs=EPOCHS,
        batch_size=16,
        micro_batch=16,
        seed=seed,
    )
    made = tunescope.answer(prompts="prompts.jsonl", model=str(tuned.path), max_new_tokens=64)
    traced = tunescope.trace(answers=str(made.path), rows="rows.jsonl", reference=str(own.path))
    shifted = tunescope.shift(tuned=str(tuned.path), base=base, answers=str(made.path))
    by_text = {canary.row["output"]: number for number, canary in enumerate(planted)}
    of_row = {record["row_id"]: by_text.get(record["fields"]["response"]) for record in traced.records("rows")}
    plain = {record["prompt_id"]: record["text"] for record in own.records("answers")}
    named: dict[str, set] = {}
    for span in traced.records("spans"):
        named.setdefault(span["answer_id"], set()).add(of_row[span["rows"][0]["row_id"]])
    counts = dict.fromkeys(("named", *(f"{word} {n}" for n in RUNS for word in ("right", "in"))), 0)
    for record in made.records("answers"):
        mine = named.get(record["answer_id"], set())
        counts["named"] += len(mine)
        for length in RUNS:
            base_text = plain[record["prompt_id"]]
            truth = {n for n, c in enumerate(planted) if holds(record["text"], c.row["output"], base_text, length)}
            counts[f"right {length}"] += len(truth & mine)
            counts[f"in {length}"] += len(truth)
    summary, shift = traced.result["summary"], shifted.result
    return {
        **counts,
        "excess": 100 * summary["excess"]["mean"],
        "kl": shift["kl"]["mean"],
        "shifted": 100 * shift["shifted"]["mean"],
        "loss": list(tuned.records("metrics"))[-1]["loss"],
    }


def _share(runs: list[dict[str, float]], part: str, whole: str) -> str:
    share = mean_pooled([run[part] for run in runs], [run[whole] for run in runs])
    total = f"of {sum(run[whole] for run in runs):.0f}"
    if share.value is None:
        return total
    span = "" if share.low is None else f" [{share.low:.3f}, {share.high:.3f}]"
    return f"{share.value:.3f}{span} {total}"


def main() -> None:
    """Run all seeds and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    runs_by_method: dict[str, list[dict[str, float]]] = {method: [] for method in LR}
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for seed in range(arguments.seeds):
            for method in LR:
                runs_by_method[method].append(one(seed, method, "microworld"))
                print(seed, method, runs_by_method[method][-1], flush=True)
    heads = " | ".join(f"recall of {n} words and more" for n in RUNS)
    print(f"\n| | precision | {heads} | last loss |\n|---|---|---|---|---|---|")
    for method, runs in runs_by_method.items():
        parts = [("right 6", "named"), *((f"right {n}", f"in {n}") for n in RUNS)]
        cells = [_share(runs, part, whole) for part, whole in parts]
        loss = mean_t([run["loss"] for run in runs])
        print(f"| {method} | {' | '.join(cells)} | {loss.value:.3f} |")
    print("\n| | full | LoRA | full − LoRA, paired by seed [95 % t] | p (sign flips) |\n|---|---|---|---|---|")
    for name, label in (("excess", "excess of borrowed words, points"), ("kl", "KL, nats"), ("shifted", "shifted, %")):
        full, lora = ([run[name] for run in runs_by_method[method]] for method in ("full", "lora"))
        difference = paired_difference(full, lora)
        t = difference.t
        print(
            f"| {label} | {mean_t(full).value:.3f} | {mean_t(lora).value:.3f} | "
            f"{t.value:.3f} [{t.low:.3f}, {t.high:.3f}] | {difference.test.p:.3f} |"
        )


if __name__ == "__main__":
    main()
