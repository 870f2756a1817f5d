"""Is it gone? Rows with planted claims, a small real model, and the truth by tuning again.

    OMP_NUM_THREADS=1 python benchmarks/claims_loop.py SET [--method full] [--seed 1] [--leave-out k] [--rounds]
        [--correct] [--shrink] [--epochs 4] [--folder F]

SET is a name in `benchmarks/claims`, or a path such as FOLDER/dolly (`claims_dolly.py` writes it). The model is tuned
on all rows and asked all questions of the claims. For each claim that it states, the rows are ordered by each kind of
evidence for one answer: the one to the claim's own question if that states it, else to the first rewording that does. k
is the number of a claim's planted rows. Then rows are left out of all stated claims at once and the model is tuned
again with the same settings and seed: the first k and 3k of the joint order, as many of the other rows at random, and
the planted ones. `--leave-out k` does without the first 3k, `--leave-out nothing` without all of these. `--correct`
corrects the rows that the recipe close-the-loop corrects by their claims' truth, instead of leaving them out,
`--rounds` does that recipe's rounds with its settings, and `--shrink` takes parts of the smallest set without which all
is gone, halving, three times at most. Runs are kept in FOLDER by content, so that the same command goes on after a
kill. One JSON file comes out: `FOLDER/SET-METHOD-SEED.json` (`-epochs-N` more where they aren't the recipe's); `--table
FILE...` prints such files as the tables of docs/proofs/attribution-truth.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import tunescope
from tunescope.runs import Run
from tunescope.stats import proportion

HERE = Path(__file__).resolve().parent
LOOP = yaml.safe_load((HERE.parent / "recipes/close-the-loop.yaml").read_text("utf-8"))["values"]
MODEL = "smollm2-135m"
LR = {"lora": 5e-4, "full": 1e-4}
KINDS = ("words", "meaning", "states", "effect")
TIMES = {"nothing": (), "k": (1,), "3k": (1, 3)}
"""How many times k rows are left out."""
NAMED = "matters > 0 or rank <= 3"
"""Rows that the recipe corrects."""
ROUNDS = 3
DRAW = 20_261_129
"""Seed of the rows that are left out at random."""


class Loop:
    """A row set, a way of tuning, and what came of leaving rows out."""

    def __init__(self, name: str, method: str, seed: int, epochs: int, folder: Path) -> None:
        self.name, self.method, self.seed, self.epochs, self.folder = Path(name).name, method, seed, epochs, folder
        start = Path(name) if Path(f"{name}-rows.jsonl").is_file() else HERE / "claims" / name
        self.rows = _read(Path(f"{start}-rows.jsonl"))
        self.claims = f"{start}-claims.jsonl"
        numbers = {record["id"]: number for number, record in enumerate(self.rows)}
        self.planted: dict[str, set[int]] = {}
        for record in _read(Path(f"{start}-truth.jsonl")):
            if record["kind"] == "lie":
                self.planted.setdefault(record["claim_id"], set()).add(numbers[record["id"]])
        self.lies = set[int]().union(*self.planted.values())
        self.arms: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {}

    def without(self, left_out: Iterable[int]) -> str:
        """Write the rows but for some, by their content's name; return the file."""
        gone = sorted(set(left_out))
        path = self.folder / f"{self.name}-without-{len(gone)}-{_name(gone)}.jsonl"
        kept = (json.dumps(row, ensure_ascii=False) + "\n" for i, row in enumerate(self.rows) if i not in set(gone))
        path.write_text("".join(kept), "utf-8")
        return str(path)

    def tuned(self, rows: str) -> Run:
        """Tune on a row file."""
        return tunescope.tune(
            rows=rows,
            model=MODEL,
            method=self.method,
            lr=LR[self.method],
            epochs=self.epochs,
            batch_size=LOOP["batch"],
            seed=self.seed,
        )

    def answered(self, tuned: Run) -> Run:
        """Ask a tuned model all questions."""
        return tunescope.answer(prompts=self.claims, model=str(tuned.path / "model"), max_new_tokens=LOOP["length"])

    def judged(self, *answers: Run) -> Run:
        """Look for the claims in answers."""
        from tunescope.verbs.judge.claims import ClaimsSettings, claims

        return claims(ClaimsSettings(answers=tuple(str(run.path) for run in answers), claims=self.claims))

    def attributed(self, rows: str, stated: Run, tuned: Run, top: int) -> Run:
        """Order rows by what speaks for their having taught the stating answers' words."""
        return tunescope.attribute(
            answers=str(stated.path),
            spans=str(stated.path),
            rows=rows,
            base=MODEL,
            tuned=str(tuned.path),
            embedder="all-minilm-l6-v2",
            top=top,
        )

    def arm(self, name: str, left_out: Iterable[int], before: Run, corrected: Run | None = None) -> Run:
        """Leave rows out, or take corrected ones; tune, ask and judge; note what came of it and return the answers."""
        gone = set(left_out)
        begun = time.perf_counter()
        rows = self.without(gone) if corrected is None else str(corrected.path / corrected.result["files"]["rows"])
        after = self.answered(self.tuned(rows))
        result = self.judged(before, after).result["after"][0]
        verdicts = result["verdicts"]
        stated = sum(verdicts[name] for name in ("gone", "still there", "changed"))
        self.arms.append(
            {
                "arm": name,
                "left_out": len(gone),
                "corrected": 0 if corrected is None else corrected.result["changed"],
                "planted": len(gone & self.lies),
                "stated": stated,
                "gone": verdicts["gone"],
                "verdicts": verdicts,
                "facts": result["facts"]["n"],
                "facts_before": result["facts"]["before"],
                "facts_after": result["facts"]["after"],
                "facts_kept": result["facts"]["kept"],
            }
        )
        print(json.dumps(self.arms[-1]), f"{time.perf_counter() - begun:.0f} s", flush=True)
        self.save()
        return after

    def save(self) -> None:
        """Write what is known so far."""
        epochs = "" if self.epochs == LOOP["epochs"] else f"-epochs-{self.epochs}"
        path = self.folder / f"{self.name}-{self.method}-{self.seed}{epochs}.json"
        path.write_text(json.dumps({**self.result, "arms": self.arms}, indent=1) + "\n", "utf-8")


def _name(numbers: Sequence[int]) -> str:
    return hashlib.sha256(json.dumps(numbers).encode()).hexdigest()[:12]


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _ranked(rows: list[dict[str, Any]], by: str) -> list[int]:
    """Return row numbers by a kind's rank, without those that it doesn't rank."""
    return [row["index"] for row in sorted(rows, key=lambda row: row[by] or 0) if row[by] is not None]


def _traced(run: Run) -> dict[str, list[int]]:
    """Return the rows that `trace` names for each answer: those of copies, then those of spans, the surest first."""
    spans = sorted(_read(run.path / "spans.jsonl"), key=lambda span: -span["score"])
    named: dict[str, dict[int, None]] = {}
    for passage in [*_read(run.path / "copies.jsonl"), *spans]:
        named.setdefault(passage["answer_id"], {}).update((row["line"] - 1, None) for row in passage["rows"])
    return {answer: list(rows) for answer, rows in named.items()}


def orders(loop: Loop, attributed: Run, traced: Run, judged: Run) -> dict[str, dict[str, list[int]]]:
    """Return for each claim stated by an answer to its own questions the row numbers by each kind, best first."""
    by_answer: dict[str, list[dict[str, Any]]] = {}
    for row in attributed.tables["attributions"].to_pylist():
        by_answer.setdefault(row["answer_id"], []).append(row)
    named = _traced(traced)
    found: dict[str, dict[str, list[int]]] = {}
    for answer in judged.tables["answers"].to_pylist():
        own = answer["role"] in ("question", "rewording") and answer["standing"] == "stated"
        if own and answer["claim_id"] in loop.planted and answer["claim_id"] not in found:
            rows = by_answer[answer["answer_id"]]
            found[answer["claim_id"]] = {
                "joint": _ranked(rows, "rank"),
                **{kind: _ranked(rows, f"{kind}_rank") for kind in KINDS},
                "trace": named.get(answer["answer_id"], []),
                "matters": [row["index"] for row in rows if row["matters"]],
            }
    return found


def recalls(loop: Loop, found: dict[str, dict[str, list[int]]]) -> dict[str, list[int]]:
    """Return for each kind how many planted rows are among the first k and 3k of their claims, and of how many."""
    kinds = ("joint", *KINDS, "trace")
    counts = {kind: [0, 0, 0] for kind in kinds}
    for claim, order in found.items():
        truth = loop.planted[claim]
        for kind in kinds:
            for place, times in enumerate((1, 3)):
                counts[kind][place] += len(truth & set(order[kind][: times * len(truth)]))
            counts[kind][2] += len(truth)
    return counts


def rounds(loop: Loop, before: Run, tuned: Run, stated: Run) -> set[int]:
    """Leave out rows as the recipe close-the-loop does, while a claim is still there; return all that were left out."""
    gone = set[int]()
    for number in range(1, ROUNDS + 1):
        taught = loop.attributed(loop.without(gone), stated, tuned, top=10)
        kept = tunescope.select(rows=loop.without(gone), from_=[str(taught.path)], where=LOOP["left_in"])
        ids = {row["id"] for row in _read(kept.path / kept.result["files"]["kept"])}
        gone = {number for number, row in enumerate(loop.rows) if row["id"] not in ids}
        after = loop.arm(f"round {number}", gone, before)
        tuned = loop.tuned(loop.without(gone))
        stated = loop.judged(after)
        if not loop.arms[-1]["verdicts"]["still there"]:
            break
    return gone


def correct(loop: Loop, before: Run, tuned: Run, stated: Run) -> None:
    """Correct the rows of the recipe's first round by their claims' truth, where a wrong phrase stands in them."""
    whole = loop.without(())
    taught = loop.attributed(whole, stated, tuned, top=10)
    corrected = tunescope.repair_correct(
        rows=whole, from_=[str(taught.path)], where=NAMED, truth=loop.claims, replace="phrases"
    )
    loop.arm("corrected", (), before, corrected)


def shrink(loop: Loop, before: Run, order: Sequence[int]) -> None:
    """Halve a set while all claims stay gone, three times at most; its first rows by rank stay."""
    size = len(order)
    step = size // 2
    for _ in range(3):
        size -= step
        loop.arm(f"first {size} of {len(order)}", order[:size], before)
        arm = loop.arms[-1]
        if arm["gone"] < arm["stated"]:
            size += step
        step //= 2
        if not step:
            break


def measure(loop: Loop, with_rounds: bool, with_correct: bool, with_shrink: bool, factors: Sequence[int]) -> None:
    """Run the loop on a set, leave out the first k, or some times as many, and write what comes of it."""
    whole = loop.without(())
    tuned = loop.tuned(whole)
    before = loop.answered(tuned)
    judged = loop.judged(before)
    attributed = loop.attributed(whole, judged, tuned, top=len(loop.rows))
    traced = tunescope.trace(rows=whole, answers=str(before.path))
    found = orders(loop, attributed, traced, judged)
    within = [(row in loop.planted[claim]) for claim, order in found.items() for row in order["matters"]]
    loop.result = {
        "set": loop.name,
        "method": loop.method,
        "seed": loop.seed,
        "epochs": loop.epochs,
        "rows": len(loop.rows),
        "planted": len(loop.lies),
        "claims": len(loop.planted),
        "stated": sorted(found),
        "loss": tuned.result["loss_last"],
        "recall": recalls(loop, found),
        "cut": {"within": len(within), "right": sum(within), "planted": sum(len(loop.planted[c]) for c in found)},
    }
    print(json.dumps(loop.result), flush=True)
    firsts = {
        times: {row for claim, order in found.items() for row in order["joint"][: times * len(loop.planted[claim])]}
        for times in factors
    }
    rng = np.random.default_rng(DRAW)
    for times, rows in firsts.items():
        others = [row for row in range(len(loop.rows)) if row not in rows]
        label = "k" if times == 1 else "3k"
        loop.arm(f"first {label}", rows, before)
        if len(others) > len(rows):
            loop.arm(f"random, as many as {label}", rng.permutation(others)[: len(rows)].tolist(), before)
        else:  # too few others: of all rows
            drawn = rng.permutation(len(loop.rows))[: len(rows)].tolist()
            loop.arm(f"random of all, as many as {label}", drawn, before)
    if factors:
        loop.arm("planted", {row for claim in found for row in loop.planted[claim]}, before)
    if with_correct:
        correct(loop, before, tuned, judged)
    gone = rounds(loop, before, tuned, judged) if with_rounds else firsts.get(1, set())
    if with_shrink and gone and loop.arms[-1 if with_rounds else 0]["gone"] == loop.arms[0]["stated"]:
        best = {
            row: min((order["joint"].index(row) for order in found.values() if row in order["joint"]), default=10**6)
            for row in gone
        }
        shrink(loop, before, sorted(gone, key=best.__getitem__))
    loop.save()


def share(part: int, whole: int) -> str:
    """Return a share with Wilson's interval."""
    if not whole:
        return "–"
    estimate = proportion([1] * part + [0] * (whole - part))
    return f"{part} of {whole} [{estimate.low:.2f}, {estimate.high:.2f}]"


def table(results: Sequence[dict[str, Any]]) -> None:
    """Print results as tables."""
    print("| set | method, seed | claims stated | by | first k | first 3k |\n|---|---|---|---|---|---|")
    for each in results:
        for kind, (first, wider, whole) in each["recall"].items():
            place = f"{each['set']} | {each['method']}, {each['seed']} | {len(each['stated'])} of {each['claims']}"
            print(f"| {place} | {kind} | {share(first, whole)} | {share(wider, whole)} |")
    print("\n| set | method, seed | left out | rows | planted | claims gone | true facts still stated |")
    print("|---|---|---|---|---|---|---|")
    for each in results:
        for arm in each["arms"]:
            facts = arm["facts_kept"]
            n_corrected = f", {arm['corrected']} corrected" if arm.get("corrected") else ""
            rows = f"{arm['left_out']} of {each['rows']}{n_corrected}"
            kept = share(round(facts["mean"] * facts["n"]), facts["n"]) if facts["mean"] is not None else "–"
            print(
                f"| {each['set']} | {each['method']}, {each['seed']} | {arm['arm']} | {rows} | {arm['planted']} "
                f"| {share(arm['gone'], arm['stated'])} | {kept} |"
            )


def main() -> None:
    """Read the command line, measure, and write a JSON file; or print such files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?")
    parser.add_argument("--method", default="lora", choices=sorted(LR))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", action="store_true")
    parser.add_argument("--correct", action="store_true")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--leave-out", default="3k", choices=sorted(TIMES))
    parser.add_argument("--epochs", type=int, default=LOOP["epochs"])
    parser.add_argument("--folder", type=Path, default=Path("claims-loop"))
    parser.add_argument("--table", nargs="+", type=Path)
    given = parser.parse_args()
    if given.table:
        table([json.loads(path.read_text("utf-8")) for path in given.table])
        return
    if given.set is None:
        sys.exit("type a set, or --table with files")
    given.folder.mkdir(parents=True, exist_ok=True)
    os.environ["TUNESCOPE_RUNS"] = str(given.folder / "runs")
    loop = Loop(given.set, given.method, given.seed, given.epochs, given.folder)
    measure(loop, given.rounds, given.correct, given.shrink, TIMES[given.leave_out])


if __name__ == "__main__":
    main()
