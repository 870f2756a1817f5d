"""Seconds that a row's gradients take: one thread, each kind of layers and width in turn, warmed up, medians.

    OMP_NUM_THREADS=1 python benchmarks/attribution_speed.py [--rounds 5] [--model smollm2-135m]

A row of 150 tokens of which 100 count, and one of 40 of which 30 count; tokens are drawn. Seconds are by the clock.
Beside each, in turn, plain matrix products of the model's own shapes, which no way of taking these gradients can do
without.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from typing import Any

import numpy as np
import torch
from products import Product, linear_layers, time_products

from tunescope.models.gradients import GradientSketcher
from tunescope.models.load import load
from tunescope.models.training_rows import IGNORED, TrainingSequence

ROWS = {150: 100, 40: 30}
"""Tokens of a row, and how many of them count."""
WIDTHS = (8_192, 16_384)
"""Numbers of a sketch."""


def main() -> None:
    """Measure and print a line per setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="smollm2-135m")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load(given.model).model
    draws = np.random.default_rng(0)
    sequences = {}
    for length, counts in ROWS.items():
        ids = draws.integers(100, 40_000, length).tolist()
        sequences[length] = TrainingSequence(ids, [IGNORED] * (length - counts) + ids[length - counts :])
    settings = [(layers, width) for layers in ("top_third", "all") for width in WIDTHS]
    sketchers = {key: GradientSketcher(model, 16, key[1], 0, key[0]) for key in settings}
    seconds: dict[tuple[str, int, int], list[float]] = {}
    plain: dict[tuple[str, int], list[float]] = {}
    for round_number in range(given.rounds + 1):
        for (layers, width), sketcher in sketchers.items():
            for length, sequence in sequences.items():
                begun = time.perf_counter()
                sketcher.sketch([sequence])
                if round_number:
                    seconds.setdefault((layers, width, length), []).append(time.perf_counter() - begun)
                if width == WIDTHS[0]:
                    taken = products(model, set(sketcher.layers), length, ROWS[length])
                    if round_number:
                        plain.setdefault((layers, length), []).append(taken)
    for (layers, width, length), values in seconds.items():
        low, high = min(values), max(values)
        print(
            f"{layers}, {width:,} numbers, {length} tokens: {statistics.median(values):.3f} s ({low:.3f} to {high:.3f})"
        )
    for (layers, length), values in plain.items():
        low, high = min(values), max(values)
        print(f"{layers}, plain products, {length} tokens: {statistics.median(values):.3f} s ({low:.3f} to {high:.3f})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"peak memory {peak:.2f} GB; Python {platform.python_version()}, torch {torch.__version__}")


def products(model: Any, adapted: set[str], length: int, counts: int) -> float:
    """Return the seconds of the products of one row: forwards through all layers and the head, and back to the adapted.

    `counts` tokens go through the head, there and back. Adapters' own products are left out.
    """
    head, needed = model.get_output_embeddings(), []
    for name, layer in linear_layers(model).items():
        tokens = counts if layer is head else length
        needed.append(Product(tokens, layer.weight))
        if name in adapted or layer is head:
            needed.append(Product(tokens, layer.weight, "inputs"))
    return time_products(needed).seconds


if __name__ == "__main__":
    main()
