"""`shift` beside one cache-less forward pass per generated token, and its memory beside full logits.

    python benchmarks/shift.py PROMPTS [--answers 20] [--tokens 128] [--every 8] [--rounds 3] [--model M] [--save]

Both sides compare a LoRA adapter (random weights, every linear layer) with its base on the same answers of exactly so
many tokens. The plain side is the public AlignTDS way: at each token of the answer both models read the prompt and
the answer before it anew, without a cache, and full logits are taken from them. It takes hours, so it is timed at every
so many tokens (--every 1: all) and its seconds are multiplied by that; our side does all. KL, base probability and rank
of the tokens that both did are compared.

Memory is the growth of the process's own memory (RssAnon, looked at every half millisecond) over what it holds with
the models loaded and warm, in a process of its own per side, for one answer of 1,024 tokens; the plain side takes both
models' logits of the whole answer from one pass each.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any

import numpy as np
import torch
import transformers
from sides import Comparison

from tunescope.chat import Chat
from tunescope.models import DEFAULT, ModelSettings, load, silence_libraries, stop_ids
from tunescope.models.packing import Passage
from tunescope.prompts import read_prompts
from tunescope.verbs.shift.pair import POSITIONS, ModelPair, TokenShift

LONG = 1024


def adapter(model: str, folder: Path) -> str:
    """Write a LoRA adapter with random weights; return its folder."""
    import peft

    with silence_libraries():
        loaded = load(model)
        torch.manual_seed(0)
        config = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
        tuned = peft.get_peft_model(loaded.model, config)
        for name, weights in tuned.named_parameters():
            if "lora_B" in name:
                weights.data *= 0.2
        tuned.save_pretrained(str(folder))
    (folder / "tunescope.json").write_text(json.dumps({"base": model, "base_hash": loaded.hash}))
    return str(folder)


def passages(pair: ModelPair, path: str, count: int, tokens: int) -> list[Passage]:
    """Return prompts with answers of so many tokens, sampled from the tuned model without its stop tokens."""
    from transformers import set_seed

    tokenizer, model = pair.tuned.tokenizer, pair.tuned.model
    chat = Chat(tokenizer, stop_ids(model, tokenizer))
    found = []
    set_seed(0)
    for prompt in read_prompts(path)[:count]:
        ids = chat.prompt(prompt.messages)
        asked = {"do_sample": True, "max_new_tokens": tokens, "min_new_tokens": tokens}
        with silence_libraries():
            made = model.generate(torch.tensor([ids]), pad_token_id=0, **asked)[0, len(ids) :]
        found.append(Passage(ids, tuple(made.tolist())))
    return found


def plain(pair: ModelPair, given: list[Passage], every: int) -> list[list[tuple[float, float, int]]]:
    """Return KL, base probability and base rank at every so many tokens, with a pass of each model for each."""
    found = []
    with torch.inference_mode():
        for passage in given:
            numbers = []
            for place in range(0, len(passage.target), every):
                ids = torch.tensor([[*passage.context, *passage.target[:place]]])
                tuned = pair.tuned.model(input_ids=ids, use_cache=False).logits[0, -1]
                with pair.tuned.without_adapter():
                    base = pair.tuned.model(input_ids=ids, use_cache=False).logits[0, -1]
                b, t = base.log_softmax(-1), tuned.log_softmax(-1)
                top = int(t.argmax())
                kl = float((b.exp() * (b - t)).sum())
                numbers.append((kl, float(b[top].exp()), 1 + int((base > base[top]).sum())))
            found.append(numbers)
    return found


def ours(pair: ModelPair, given: list[Passage], every: int) -> list[list[tuple[float, float, int]]]:
    """Return the same, of all tokens computed, by `shift`'s own code, 16 answers at a time as it takes them."""
    found: list[TokenShift] = []
    for start in range(0, len(given), 16):
        found += pair.compare(given[start : start + 16], given[start : start + 16])
    return [list(zip(n.kl[::every], n.base_prob[::every], n.base_rank[::every], strict=True)) for n in found]


def whole(pair: ModelPair, passage: Passage) -> None:
    """Compare the models from the logits of the whole answer."""
    ids = torch.tensor([[*passage.context, *passage.target]])
    with torch.inference_mode():
        tuned = pair.tuned.model(input_ids=ids, use_cache=False).logits[0, len(passage.context) - 1 : -1]
        with pair.tuned.without_adapter():
            base = pair.tuned.model(input_ids=ids, use_cache=False).logits[0, len(passage.context) - 1 : -1]
        b, t = base.log_softmax(-1), tuned.log_softmax(-1)
        (b.exp() * (b - t)).sum(-1)


def peak(side: str, folder: str, model: str) -> float:
    """Return by how many MB one long answer raises this process's memory at its highest."""
    with silence_libraries():
        pair = ModelPair(ModelSettings(model=model), ModelSettings(model=folder), True)
        for weights in pair.tuned.model.parameters():
            weights.data = weights.data.clone()  # not a mapped file, whose pages come and go
        rng = np.random.default_rng(0)
        context, target = (tuple(map(int, rng.integers(100, 40_000, n))) for n in (30, LONG))
        work: Callable[[Passage], Any] = (
            (lambda passage: whole(pair, passage)) if side == "plain" else (lambda p: pair.compare([p], [p]))
        )
        work(Passage(context, target[:32]))
        before, ended, highest = _held(), Event(), [0.0]

        def watch() -> None:
            while not ended.is_set():
                highest[0] = max(highest[0], _held())
                sleep(0.0005)

        watcher = Thread(target=watch)
        watcher.start()
        work(Passage(context, target))
        ended.set()
        watcher.join()
    return highest[0] - before


def _held() -> float:
    """Return the process's own memory (RssAnon) in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    """Print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--answers", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--save", action="store_true", help="keep the comparison for RESULTS.md")
    parser.add_argument("--peak", nargs=2, metavar=("SIDE", "ADAPTER"), help="only measure one side's memory")
    options = parser.parse_args()
    if options.peak:
        print(peak(*options.peak, options.model))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = adapter(options.model, Path(name))
        pair = ModelPair(ModelSettings(model=options.model), ModelSettings(model=folder), True)
        given = passages(pair, options.path, options.answers, options.tokens)
        times: dict[str, list[float]] = {"plain": [], "ours": []}
        for number in range(options.rounds + 1):
            few = given[:2] if number == 0 else given
            results = {}
            for name_of, side in (("plain", plain), ("ours", ours)):
                begun = perf_counter()
                results[name_of] = side(pair, few, options.every)
                if number:
                    factor = options.every if name_of == "plain" else 1
                    times[name_of].append(factor * (perf_counter() - begun))
                    print(f"round {number}: {name_of} {times[name_of][-1]:.1f} s", file=sys.stderr)
            one, other = (np.array([row for rows in results[side] for row in rows]) for side in ("plain", "ours"))
            difference = np.abs(one - other).max(axis=0)
        command = [sys.executable, __file__, options.path, "--model", options.model, "--peak"]
        memory = {
            side: float(subprocess.run([*command, side, folder], capture_output=True, check=True, text=True).stdout)
            for side in ("plain", "ours")
        }
    vocabulary = pair.tuned.model.get_output_embeddings().weight.shape[0]
    middle = {name: median(values) for name, values in times.items()}
    if options.save:
        Comparison(
            name="shift",
            what=f"`shift`: {len(given)} answers of {options.tokens} tokens, LoRA and its base, {options.model}",
            peer=f"a pass of each model for each token, as the public AlignTDS code does (each {options.every}th token "
            f"timed), transformers {transformers.__version__}",
            ours=times["ours"],
            theirs=times["plain"],
            same=f"KL at most {difference[0]:.1e} nats apart, ranks {'equal' if difference[2] == 0 else 'differ'}",
            asked=50,
            memory_mb=(memory["ours"], memory["plain"]),
            packages=("torch", "transformers", "peft"),
        ).save()
    print(
        json.dumps(
            {
                "answers": len(given),
                "tokens": options.tokens,
                "every": options.every,
                "seconds": times,
                "median_seconds": middle,
                "times_faster": middle["plain"] / middle["ours"],
                "largest_difference": dict(zip(("kl", "base_prob", "base_rank"), difference.tolist(), strict=True)),
                "peak_mb_over_models": memory,
                "full_logits_mb_of_both_models": 2 * LONG * vocabulary * 4 / 2**20,
                "share_of_full_logits": memory["ours"] / (2 * LONG * vocabulary * 4 / 2**20),
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
