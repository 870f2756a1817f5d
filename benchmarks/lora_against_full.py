"""Does full tuning take more from rows than LoRA at equal loss? (Ghosh et al. 2024 say that it does.)

    OMP_NUM_THREADS=1 python benchmarks/lora_against_full.py [--worlds 51 52 53 54 55 56 57 58] [--seeds 2]

Worlds, rows and questions are those of `attribution.py`: 300 rows, of which some state 56 false claims. Each world is
tuned by LoRA as there, and in full at several rates. The loss is that of the tuned model on all rows, in nats a token
of the answers. What a full tuning at LoRA's loss would give is read off the two full tunings whose losses lie next to
it, on the line between them; where LoRA's loss lies outside of them there is no number, and that is counted. Measured:

- *stated*: the share of claims that are the likeliest of the attribute's values, over all questions and by their kind;
- *log-odds*: how far the claims' log-odds moved from the base's, in nats, over all questions;
- *kept*: of questions about people of whom no row speaks, the share that is answered rightly, as the base learnt it.

Differences are full tuning less LoRA, averaged over a world's seeds; intervals (Student's t) are over worlds. The rates
were chosen on world 1, so that they reach around LoRA's loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import monotonic
from typing import Any

import numpy as np
from attribution import KINDS, Lab, load_lab, make_scene, sequence_losses

from tunescope.microworld import make_world, open_questions
from tunescope.stats import mean_t

RATES = (6e-4, 1e-3, 1.5e-3, 2e-3, 3e-3)
"""Of the full tunings; LoRA has its own of `attribution.py`."""


def loss_on_rows(lab: Lab, model: Any) -> float:
    """Return the mean loss of a model on all rows, in nats a token of their answers."""
    import torch

    with torch.inference_mode():
        losses, counted = sequence_losses(model, lab.rows)
    return float(losses.sum()) / counted


class HeldOut:
    """Questions about people of whom no row speaks, each with its options."""

    def __init__(self, lab: Lab, tokenizer: Any) -> None:
        from attribution import _sequences

        from tunescope.chat import Chat
        from tunescope.models import stop_ids

        chat = Chat(tokenizer, stop_ids(lab.model, tokenizer))
        asked = open_questions(lab.scene.world)
        self.gold = [question.gold for question in asked]
        self.options = [
            _sequences(chat, [(question.prompt, option) for option in question.options]) for question in asked
        ]

    def kept(self, model: Any) -> float:
        """Return the share that a model answers rightly."""
        import torch

        with torch.inference_mode():
            right = [
                int(sequence_losses(model, options)[0].argmin()) == gold
                for options, gold in zip(self.options, self.gold, strict=True)
            ]
        return float(np.mean(right))


def outcomes(lab: Lab, held_out: HeldOut, model: Any, before: np.ndarray) -> np.ndarray:
    """Return what a tuning did: stated (all, by kind), the move of the log-odds, kept."""
    stated = lab.stated(model, range(len(lab.scene.questions)))
    kinds = [stated[[question.kind == kind for question in lab.scene.questions]].mean() for kind in KINDS]
    return np.array([stated.mean(), *kinds, (lab.log_odds(model) - before).mean(), held_out.kept(model)])


def at_loss(losses: Sequence[float], values: Sequence[np.ndarray], wanted: float) -> np.ndarray | None:
    """Return the values at a loss, on the line between the two losses next to it; None outside of them."""
    order = np.argsort(losses)
    if not losses[order[0]] <= wanted <= losses[order[-1]]:
        return None
    columns = np.array([values[number] for number in order]).T
    return np.array([np.interp(wanted, [losses[number] for number in order], column) for column in columns])


def measure(world: int, seeds: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return LoRA's outcomes and full tuning's at the same loss, averaged over seeds, and how many seeds have none."""
    from tunescope.models import load

    name = f"microworld:{world}"
    lab = load_lab(make_scene(make_world(world)), name)
    held_out = HeldOut(lab, load(name).tokenizer)
    before, everything = lab.log_odds(lab.model), range(len(lab.rows))
    pairs, missing = [], 0
    for seed in range(seeds):
        lora = lab.tune("lora", everything, seed)
        full = [lab.tune("full", everything, seed, rate=rate) for rate in RATES]
        losses = [loss_on_rows(lab, model) for model in full]
        wanted, own = loss_on_rows(lab, lora), outcomes(lab, held_out, lora, before)
        theirs = at_loss(losses, [outcomes(lab, held_out, model, before) for model in full], wanted)
        print(f"world {world}, seed {seed}: LoRA {wanted:.3f}, full {' '.join(f'{loss:.3f}' for loss in losses)}")
        print(
            f"  base kept {held_out.kept(lab.model):.2f}; LoRA {np.round(own, 2)}; full {np.round(theirs, 2)}",
            flush=True,
        )
        if theirs is None:
            missing += 1
        else:
            pairs.append((own, theirs))
    if not pairs:
        return np.full(7, np.nan), np.full(7, np.nan), missing
    lora_mean, full_mean = np.mean(np.array(pairs), axis=0)
    return lora_mean, full_mean, missing


def main() -> None:
    """Measure every world and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, nargs="+", default=list(range(51, 59)))
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    start = monotonic()
    found = [measure(world, given.seeds) for world in given.worlds]
    lora, full = (np.array([each[side] for each in found]) for side in (0, 1))
    there = ~np.isnan(lora[:, 0])
    names = ("claims stated", *(f"– {kind}" for kind in KINDS), "log-odds moved, nats", "kept about others")
    print(f"\n{there.sum()} worlds, {given.seeds} seeds each; {sum(each[2] for each in found)} tunings without a match")
    print("\n| at LoRA's loss | LoRA | full | full less LoRA [95 %] |\n|---|---|---|---|")
    for number, name in enumerate(names):
        apart = mean_t((full[there, number] - lora[there, number]).tolist())
        span = (
            f"{apart.value:.3f} [{apart.low:.3f}, {apart.high:.3f}]" if apart.low is not None else f"{apart.value:.3f}"
        )
        print(f"| {name} | {lora[there, number].mean():.3f} | {full[there, number].mean():.3f} | {span} |")
    print(f"\n{monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
