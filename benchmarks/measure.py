"""`measure` against a plain batch of one, and against plain matrix products of the model's shapes.

    python benchmarks/measure.py ROWS.json [--rows 200] [--rounds 3] [--model smollm2-135m] [--save]

Both sides tokenise the same rows and give the three mean log-likelihoods of every turn: the plain side passes
one text at a time through the model three times and takes log-probabilities from full logits. Products are timed at
our shapes: every linear layer on a full pack of tokens, the output layer on as many positions as we take at a
time. In a round each side does all rows; the sides take turns; the first round warms up and isn't counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from statistics import median
from time import perf_counter

import numpy as np
import torch
import transformers
from products import Product, linear_layers, time_products
from sides import Comparison

from tunescope.chat import Chat
from tunescope.models import DEFAULT, Loaded, load, silence_libraries, stop_ids
from tunescope.models.difficulty import TERMS, Likelihoods
from tunescope.models.packing import plan_packs
from tunescope.models.score import PACK, POSITIONS
from tunescope.rows import Row, open_rows
from tunescope.verbs.measure import MeasureSettings

Terms = list[list[float]]


def plain(loaded: Loaded, rows: list[Row]) -> Terms:
    """Return the log-perplexities of each row's only turn, a text and a pass at a time."""
    model, tokenizer = loaded.model, loaded.tokenizer
    chat = Chat(tokenizer, stop_ids(model, tokenizer))
    found = []
    with torch.inference_mode():
        for row in rows:
            (part,) = chat.turn_parts(row)
            start = (tokenizer.bos_token_id,)
            losses = []
            for context, target in (
                (start, part.instruction_ids),
                (start, part.answer_ids),
                (part.prompt_ids, part.answer_ids),
            ):
                if not target:
                    losses.append(float("nan"))
                    continue
                ids = torch.tensor([[*context, *target]])
                logits = model(input_ids=ids).logits[0, len(context) - 1 : -1]
                chosen = logits.log_softmax(-1).gather(1, ids[0, len(context) :, None])
                losses.append(-chosen.double().mean().item())
            found.append(losses)
    return found


def ours(loaded: Loaded, rows: list[Row]) -> Terms:
    """Return the same by `measure`'s own code, 64 rows at a time as it takes them."""
    likelihoods = Likelihoods(loaded, MeasureSettings(rows=()))
    found = []
    for start in range(0, len(rows), 64):
        for records in likelihoods.measure(rows[start : start + 64]):
            (record,) = records
            found.append([float("nan") if record[t] is None else float(np.log(record[t])) for t in TERMS])
    return found


def products(loaded: Loaded, rows: list[Row]) -> float:
    """Return the seconds that plain products of the model's shapes take for all tokens and scored positions."""
    likelihoods = Likelihoods(loaded, MeasureSettings(rows=()))
    passages = [p for row in rows for part in likelihoods.chat.turn_parts(row) for p in likelihoods._passages(part)]
    scorer = likelihoods.scorer
    tokens, targets = [], 0
    for start in range(0, len(passages), 3 * 64):
        scored = [passage for passage in passages[start : start + 3 * 64] if passage.target]
        packs = list(plan_packs(scored, scorer.pack, share=scorer.method == "packed"))
        prefixes = {prefix for pack in packs for prefix in pack.prefixes}
        tokens += [len(each.ids) for each in (*packs, *prefixes)]
        targets += sum(len(passage.target) for passage in scored)
    head = loaded.model.get_output_embeddings().weight
    layers = [layer.weight for layer in linear_layers(loaded.model.get_decoder()).values()]
    plain = [Product(count, weight) for count in tokens for weight in layers]
    return time_products([*plain, *[Product(POSITIONS, head)] * len(range(0, targets, POSITIONS))]).seconds


def main() -> None:
    """Print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    options = parser.parse_args()
    rows = list(open_rows([options.path], None, ()))[: options.rows]
    with silence_libraries():
        loaded = load(options.model)
        times: dict[str, list[float]] = {"plain": [], "ours": [], "products": []}
        for number in range(options.rounds + 1):
            few = rows[:20] if number == 0 else rows
            for name, side in (("plain", plain), ("ours", ours)):
                begun = perf_counter()
                result = side(loaded, few)
                if number:
                    times[name].append(perf_counter() - begun)
                    print(f"round {number}: {name} {times[name][-1]:.1f} s", file=sys.stderr)
                if name == "plain":
                    expected = result
            difference = float(np.nanmax(np.abs(np.array(expected) - np.array(result))))
            assert (np.isnan(expected) == np.isnan(result)).all()
            seconds = products(loaded, few)
            if number:
                times["products"].append(seconds)
                print(f"round {number}: products {seconds:.1f} s", file=sys.stderr)
    middle = {name: median(values) for name, values in times.items()}
    if options.save:
        share = middle["products"] / middle["ours"]
        Comparison(
            name="measure",
            what=f"`measure`: three likelihoods of {len(rows)} rows, {options.model}",
            peer=f"a batch of one with full logits, as public IFD scripts do, transformers {transformers.__version__}",
            ours=times["ours"],
            theirs=times["plain"],
            same=f"at most {difference:.1e} nats a token apart; ours runs at {share:.0%} of plain products' rate",
            asked=3.5,
            packages=("torch", "transformers"),
        ).save()
    print(
        json.dumps(
            {
                "rows": len(rows),
                "rounds": options.rounds,
                "seconds": times,
                "median_seconds": middle,
                "times_faster": middle["plain"] / middle["ours"],
                "share_of_products_rate": middle["products"] / middle["ours"],
                "largest_difference_nats_per_token": difference,
                "pack": PACK,
                "positions": POSITIONS,
                "threads": torch.get_num_threads(),
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
