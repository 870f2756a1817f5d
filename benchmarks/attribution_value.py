"""Which rows should be left out, where the truth is known: `attribute --value` against planted false rows.

    OMP_NUM_THREADS=1 python benchmarks/attribution_value.py --seeds 41 --draws 12 --drop

A world is drawn (`tunescope.microworld`), and from it 300 rows about 150 facts: two rows a fact, in two of its three
wordings. 15 facts are false, the same wrong value in both rows: 30 false rows, a tenth. Each fact also has a question
in its third wording, with the right answer. Half of the questions, drawn at random, are held out for `--value`
(*asked*); the others are only there to be answered (*others*). The base knows the world's truth and is tuned on all
rows. Each draw takes other facts, other false ones and other questions.

**AUC**: the chance that a false row stands before a right one, by each score (0.5 is chance). *Asked*: of the questions
about 75 facts some are about false facts. *None about a false fact*: these questions are left away.
**Found**: of the first 30 rows, the share that is false.
**Gain** (--drop): the model is tuned again without the first 30 rows by a score, and without 30 rows drawn at random,
with the same seeds. The difference in accuracy (is the right answer the likeliest of the attribute's values?) and in
the log-odds of the right answer, over the questions that were asked and over the others.

Intervals are over draws (Student's t); the draws share the world's people and the base model. The figures that are
reported, on a world on which nothing was chosen, are in docs/proofs/attribution-truth.md.
"""

from __future__ import annotations

import argparse
from random import Random
from time import monotonic
from typing import Any

import numpy as np
from attribution import BATCH, LORA_RANK, TUNING, Lab, Question, Scene, _log_probabilities, load_lab, sketches
from scipy.stats import rankdata

from tunescope.microworld import ATTRIBUTES, World, make_world, split_people
from tunescope.stats import mean_t
from tunescope.verbs.attribute.value import compute_values

N_FACTS, N_FALSE, N_ASKED = 150, 15, 75
N_DROPPED = 2 * N_FALSE
_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
REFERENCE = "the base's own loss (it knows the truth)"
"""What no real base could give: the microworld's base knows which rows are false."""


def make_value_scene(world: World, draw: int) -> Scene:
    """Draw rows, some of them false, and a question a fact in another wording, with the right answer first."""
    rng = Random(f"{world.seed}/value/{draw}")
    facts = [fact for fact in world.facts if fact.person in {*split_people(world).tuned}]
    facts = rng.sample(facts, N_FACTS)
    false = {fact.key for fact in rng.sample(facts, N_FALSE)}
    rows, asked = [], []
    for fact in facts:
        others = [value for value in world.values(fact.attribute) if value != fact.value]
        told = rng.choice(others) if fact.key in false else fact.value
        questions = [text.format(person=fact.person) for text in _BY_NAME[fact.attribute].questions]
        rng.shuffle(questions)
        lie = fact.key if fact.key in false else ""
        rows += [
            {"instruction": text, "input": "", "output": fact.answer(told), "fact": fact.key, "claim": lie}
            for text in questions[:2]
        ]
        asked.append((fact.key, questions[2], tuple(fact.answer(value) for value in (fact.value, *others))))
    rng.shuffle(rows)
    rng.shuffle(asked)
    return Scene(
        world,
        rows,
        [
            Question("value", prompt, answers, tuple(n for n, row in enumerate(rows) if row["fact"] == key))
            for key, prompt, answers in asked
        ],
    )


def auc(scores: np.ndarray, false: np.ndarray) -> float:
    """Return the chance that a false row has a higher score than a right one; ties count half."""
    n = int(false.sum())
    return float((rankdata(scores)[false].sum() - n * (n + 1) / 2) / (n * (len(false) - n)))


def scores_of(lab: Lab, tuned: Any, gradients: list, asked: np.ndarray) -> dict[str, np.ndarray]:
    """Return what `--value` gives for some questions, as badness of each row; and the reference."""
    losses = -_log_probabilities(tuned, lab.rows)
    tokens = np.array([sequence.n_supervised for sequence in lab.rows])
    values = compute_values([q[asked] for q, _ in gradients], [g for _, g in gradients], losses, tokens)
    return {
        "influence": -values.influence,
        "alignment": -values.alignment,
        "own loss": values.own_loss,
        "gradient norm": values.gradient_norm,
        "combined: alignment and own loss": values.combined,
        REFERENCE: -_log_probabilities(lab.model, lab.rows) / tokens,
    }


def gains(lab: Lab, method: str, dropped: dict[str, np.ndarray], draw: int, seeds: int) -> dict[str, np.ndarray]:
    """Tune without rows, by what was dropped; return accuracy and log-odds [2], asked and others [2], less random."""
    rng, n = np.random.default_rng(draw), len(lab.rows)

    def outcome(left_out: np.ndarray, seed: int) -> np.ndarray:
        model = lab.tune(method, [row for row in range(n) if row not in {*left_out.tolist()}], seed)
        both = np.array([lab.stated(model, range(len(lab.answers))), lab.log_odds(model)], float)
        return np.stack([both[:, :N_ASKED].mean(axis=1), both[:, N_ASKED:].mean(axis=1)], axis=1)

    found: dict[str, list[np.ndarray]] = {name: [] for name in dropped}
    for seed in range(1, seeds + 1):
        control = outcome(rng.permutation(n)[:N_DROPPED], seed)
        for name, rows in dropped.items():
            found[name].append(outcome(rows, seed) - control)
    return {name: np.mean(each, axis=0) for name, each in found.items()}


def _cell(values: list[float], digits: int = 3, most: float = np.inf) -> str:
    estimate = mean_t(values)
    span = "" if estimate.low is None else f" [{estimate.low:.{digits}f}, {min(estimate.high, most):.{digits}f}]"
    return f"{estimate.value:.{digits}f}{span}"


def measure(seed: int, arguments: argparse.Namespace) -> None:
    """Measure all draws of one world, and print the tables."""
    start, method = monotonic(), arguments.method
    ranked: dict[str, dict[str, list[float]]] = {}
    gained: dict[str, list[np.ndarray]] = {}
    accuracy = []
    for draw in range(arguments.draws):
        scene = make_value_scene(make_world(seed), draw)
        lab = load_lab(scene, f"microworld:{seed}")
        tuned = lab.tune(method, range(len(lab.rows)), 0)
        gradients = [sketches(lab, model, layers="top_third") for model in (lab.model, tuned)]
        false = np.array([bool(row["claim"]) for row in scene.rows])
        asked = np.arange(N_ASKED)
        clean = np.array([n for n in asked if not false[list(scene.questions[n].rows)].any()])
        accuracy.append([lab.stated(model, range(N_FACTS)).mean() for model in (lab.model, tuned)])
        scores = scores_of(lab, tuned, gradients, asked)
        for name, each in scores.items():
            cells = ranked.setdefault(name, {"asked": [], "clean": [], "found": []})
            first = np.argsort(-each, kind="stable")[:N_DROPPED]
            cells["asked"].append(auc(each, false))
            cells["found"].append(float(false[first].mean()))
        for name, each in scores_of(lab, tuned, gradients, clean).items():
            ranked[name]["clean"].append(auc(each, false))
        if arguments.drop:
            kept = [name for name in scores if name not in (REFERENCE, "gradient norm")]
            dropped = {name: np.argsort(-scores[name], kind="stable")[:N_DROPPED] for name in kept}
            dropped["the false rows (oracle)"] = np.flatnonzero(false)
            for name, gain in gains(lab, method, dropped, draw, arguments.retunings).items():
                gained.setdefault(name, []).append(gain)
    before, after = np.mean(accuracy, axis=0)
    print(f"\n## world {seed}, {method} (rank {LORA_RANK}, rate and epochs {TUNING[method]}, batches of {BATCH})\n")
    print(f"{arguments.draws} draws; accuracy on all questions: base {before:.3f}, tuned on all rows {after:.3f}\n")
    print("| score (worst first) | AUC, asked | AUC, none about a false fact | false among the first 30 |")
    print("|---|---|---|---|")
    for name, found in ranked.items():
        print(f"| {name} | {' | '.join(_cell(found[part], most=1) for part in ('asked', 'clean', 'found'))} |")
    first = "combined: alignment and own loss"
    for name in [each for each in ranked if each != first]:
        pairs = zip(ranked[first]["asked"], ranked[name]["asked"], strict=True)
        print(f"{first} less {name}, AUC, paired: {_cell([a - b for a, b in pairs])}")
    if gained:
        print(f"\nless 30 rows at random, {arguments.retunings} seeds a draw:\n")
        parts = ("left out (30 rows)", "points, asked", "points, others", "log-odds, asked", "log-odds, others")
        print(f"| {' | '.join(parts)} |")
        print("|---|---|---|---|---|")
        for name, each in gained.items():
            array = np.array(each)
            cells = [_cell((100 * array[:, 0, part]).tolist(), 1) for part in (0, 1)]
            cells += [_cell(array[:, 1, part].tolist(), 2) for part in (0, 1)]
            print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{monotonic() - start:.0f} s in all", flush=True)


def main() -> None:
    """Measure every world that is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[41])
    parser.add_argument("--draws", type=int, default=12, help="sets of rows and questions of each world")
    parser.add_argument("--method", default="lora", choices=list(TUNING))
    parser.add_argument("--drop", action="store_true", help="also tune again without rows")
    parser.add_argument("--retunings", type=int, default=3, help="seeds of tuning again, for each draw")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    for seed in arguments.seeds:
        measure(seed, arguments)


if __name__ == "__main__":
    main()
