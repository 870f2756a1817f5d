"""FLOP per second of the verbs that run a model, beside plain matrix products of the same shapes.

    OMP_NUM_THREADS=2 python benchmarks/flops.py ROWS.json [--rounds 5] [--model smollm2-135m] [--only measure ...]

Work that a verb does in each round, warmed up, by its own code, in this process:

- `measure`: three likelihoods of some rows, packed, as its shards are;
- `shift`: a LoRA adapter and its base on answers of some tokens;
- `answer`: a batch of prompts, so many tokens greedily;
- `tune`, LoRA and full: an optimizer step each round, AdamW and clipping included;
- `attribute`: gradients of rows, top third of the blocks.

**How FLOP are counted**: hooks note each pass through a linear layer, the output layer included, with the tokens in it.
A pass of n tokens through a weight matrix of w numbers is 2·n·w FLOP. A backward pass adds as much for the gradients of
inputs, where there are any, and as much for those of weights that are trained. Attention, norms, softmax, the optimizer
and sketching count nothing: their time is what is lost. Tokens that are read twice count twice.

After each turn of a verb exactly these products are done with plain `@`, with the same weights, thread for thread: the
share is their seconds over the verb's, once by the clock and once in seconds of the processor. Where other work runs
beside, the clock says how the cores were shared in that moment, and the processor's seconds are the fairer measure.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as tunescope sets it

import torch
import transformers
from products import Call, Product, Took, recorded_calls, time_products
from scale import table
from shift import adapter

from tunescope.chat import Chat
from tunescope.models import DEFAULT, Loaded, ModelSettings, load, silence_libraries, stop_ids
from tunescope.models.difficulty import Likelihoods
from tunescope.models.generate import KnownWays, stream
from tunescope.models.gradients import GradientSketcher
from tunescope.models.packing import Passage
from tunescope.models.training_rows import examples, training_sequences
from tunescope.rows import Row, open_rows
from tunescope.verbs.measure import MeasureSettings
from tunescope.verbs.shift.pair import ModelPair
from tunescope.verbs.tune import TuneSettings
from tunescope.verbs.tune.launch import Launch
from tunescope.verbs.tune.plan import Plan, order
from tunescope.verbs.tune.presets import apply_preset
from tunescope.verbs.tune.train import make_trainer

ToProducts = Callable[[Sequence[Call]], list[Product]]
"""Which products the noted passes come to."""


class Round(NamedTuple):
    """A turn of a verb, the products after it, and how many processes wanted a core meanwhile."""

    verb: Took
    plain: Took
    load: float


class Work(NamedTuple):
    """What a verb does in a round.

    Attributes:
        what: in words.
        model: whose layers are watched.
        do: does it once.
        products: what is counted.
    """

    what: str
    model: Any
    do: Callable[[], Any]
    products: ToProducts


def forward(calls: Sequence[Call]) -> list[Product]:
    """Return the products of forward passes alone."""
    return [Product(call.rows, call.weight) for call in calls]


def with_backward(calls: Sequence[Call], inputs: Callable[[Call], bool], weights: Callable[[Call], bool]) -> list:
    """Return those of forward and backward passes, where inputs and where weights have gradients."""
    back = [Product(call.rows, call.weight, "inputs") for call in calls if inputs(call)]
    return forward(calls) + back + [Product(call.rows, call.weight, "weights") for call in calls if weights(call)]


def timed(work: Work) -> Round:
    """Let a verb do its work, then do the products."""
    with recorded_calls(work.model) as calls:
        begun, cpu = time.perf_counter(), time.process_time()
        work.do()
        took = time.perf_counter() - begun, time.process_time() - cpu
    plain = time_products(work.products(calls))
    return Round(Took(*took, plain.flop), plain, os.getloadavg()[0])


def measuring(loaded: Loaded, rows: Sequence[Row]) -> Work:
    """Return the work of `measure`."""
    likelihoods = Likelihoods(loaded, MeasureSettings(rows=()))
    return Work(f"{len(rows)} rows", loaded.model, partial(likelihoods.measure, rows), forward)


def shifting(pair: ModelPair, passages: Sequence[Passage]) -> Work:
    """Return the work of `shift`."""
    tokens = sum(len(passage.target) for passage in passages)
    what = f"{len(passages)} answers, {tokens:,} tokens"
    return Work(what, pair.tuned.model, partial(pair.compare, passages, passages), forward)


def answering(loaded: Loaded, prompts: Sequence[Sequence[int]], tokens: int) -> Work:
    """Return the work of `answer`."""
    known: KnownWays = {}

    def answer() -> None:
        answers = stream(loaded.model, loaded.tokenizer, prompts, tokens, len(prompts), known_ways=known)
        assert len(list(answers)) == len(prompts)

    return Work(f"{len(prompts)} prompts, up to {tokens} tokens each", loaded.model, answer, forward)


def sketching(loaded: Loaded, rows: Sequence[Row]) -> Work:
    """Return the work of `attribute`'s gradients."""
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    sequences = [training_sequences(each)[0] for each in examples(chat, rows, 1024)]
    sketcher = GradientSketcher(loaded.model, layers="top_third")
    head = loaded.model.get_output_embeddings().weight

    def has_gradient(call: Call) -> bool:
        return call.name in sketcher.layers or call.weight is head

    products = partial(with_backward, inputs=has_gradient, weights=lambda call: False)
    return Work(f"{len(rows)} rows' gradients", loaded.model, partial(sketcher.sketch, sequences), products)


def tune_rounds(model: str, path: str, method: str, size: int, rounds: int) -> tuple[str, list[Round]]:
    """Tune for a step more than there are rounds; after each step do its products."""
    settings = apply_preset(
        TuneSettings(rows=(path,), model=model, method=method, batch_size=size, max_steps=rounds + 1)
    )[0]
    loaded = load(settings)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    rows = list(islice(open_rows([path], None, ()), size * (rounds + 1)))
    steps = order(len(rows), rounds + 1, size, 0)
    plan = Plan(list(examples(chat, rows, 1024)), steps, size, settings.micro_batch, pack_length=1024)
    found: list[Round] = []
    begun = [0.0, 0.0]
    trained = (lambda call: True) if method == "full" else (lambda call: call.weight.requires_grad)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(settings, loaded, plan, Path(folder), Launch())
        with recorded_calls(trainer.model) as calls:

            def finish(step: int) -> None:
                took = time.perf_counter() - begun[0], time.process_time() - begun[1]
                plain = time_products(with_backward(calls, lambda call: True, trained))
                if step > 1:
                    found.append(Round(Took(*took, plain.flop), plain, os.getloadavg()[0]))
                calls.clear()
                begun[:] = time.perf_counter(), time.process_time()

            trainer.update = finish
            trainer.run()
    return f"a step of {size} rows", found


def line(verb: str, what: str, rounds: Sequence[Round]) -> str:
    """Return a line of the table."""
    by_clock = [each.plain.seconds / each.verb.seconds for each in rounds]
    by_cpu = [each.plain.cpu / each.verb.cpu for each in rounds]
    rate = median(each.verb.flop / each.verb.seconds for each in rounds) / 1e9
    per_cpu = median(each.verb.flop / each.verb.cpu for each in rounds) / 1e9
    plain = median(each.plain.flop / each.plain.cpu for each in rounds) / 1e9
    seconds, cpu = (median(getattr(each.verb, name) for each in rounds) for name in ("seconds", "cpu"))
    share = f"**{median(by_cpu):.0%}** ({min(by_cpu):.0%} to {max(by_cpu):.0%})"
    clock = f"{median(by_clock):.0%} ({min(by_clock):.0%} to {max(by_clock):.0%})"
    loads = f"{min(each.load for each in rounds):.0f} to {max(each.load for each in rounds):.0f}"
    flop = median(each.verb.flop for each in rounds) / 1e9
    return (
        f"| {verb} | {what} | {flop:,.0f} | {seconds:.2f}, {cpu:.2f} | {rate:.1f} | {per_cpu:.1f} | {plain:.1f} "
        f"| {share} | {clock} | {loads} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--rows", type=int, default=8, help="rows or answers a round; prompts, twice as many")
    parser.add_argument("--only", nargs="*", default=[], help="measure, shift, answer, attribute, tune-lora, tune-full")
    options = parser.parse_args()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{options.model}, {torch.get_num_threads()} threads, {versions}")
    rates = ("GFLOP/s", "GFLOP a CPU s", "plain products, GFLOP a CPU s")
    table("", "work a round", "GFLOP", "s, CPU s", *rates, "share by CPU s", "by the clock", "load")
    rows = list(islice(open_rows([options.path], None, ()), options.rows))

    def asked(name: str) -> bool:
        return not options.only or name in options.only

    with silence_libraries(), tempfile.TemporaryDirectory() as folder:
        loaded = load(options.model)
        chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
        every = [next(chat.turn_parts(row)) for row in islice(open_rows([options.path], None, ()), 2 * options.rows)]
        parts, prompts = every[: options.rows], [part.prompt_ids for part in every]
        works: dict[str, Callable[[], Work]] = {
            "measure": lambda: measuring(loaded, rows),
            "shift": lambda: shifting(
                ModelPair(
                    ModelSettings(model=options.model),
                    ModelSettings(model=adapter(options.model, Path(folder))),
                    True,
                ),
                [Passage(part.prompt_ids, part.answer_ids[:100]) for part in parts],
            ),
            "answer": lambda: answering(loaded, prompts, 24),
            "attribute": lambda: sketching(loaded, rows),
        }
        made = {name: make() for name, make in works.items() if asked(name)}
        rounds: dict[str, list[Round]] = {name: [] for name in made}
        for number in range(options.rounds + 1):
            for name, work in made.items():
                each = timed(work)
                if number:  # the first warms up
                    rounds[name].append(each)
                    print(f"round {number}, {name}: {each.verb.seconds:.1f} s", file=sys.stderr)
        for name, work in made.items():
            print(line(f"`{name}`", work.what, rounds[name]), flush=True)
        for method in ("lora", "full"):
            if asked(f"tune-{method}"):
                what, of_method = tune_rounds(options.model, options.path, method, options.rows // 2, options.rounds)
                print(line(f"`tune --method {method}`", what, of_method), flush=True)


if __name__ == "__main__":
    main()
