"""Tokens per second of `answer`'s generation, beside one prompt at a time and plain transformers.

    python benchmarks/answer.py [--model smollm2-135m] [--prompts FILE] [--limit 32] [--max-new-tokens 128] [--runs 3]

Four ways to answer the same prompts greedily, in turn after a warm-up, medians: ours in batches, ours one by
one, transformers' generate in padded batches of prompts of like length, transformers' generate one by one.
Tokens are counted without padding; where a way's answers differ from plain transformers' one by one, it is said.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tunescope.chat import Chat
from tunescope.models import DEFAULT, generate, load, silence_libraries, stop_ids
from tunescope.prompts import read_prompts

QUESTIONS = Path(__file__).parents[1] / "recipes" / "lora-and-full" / "prompts.jsonl"


def plain(loaded: Any, prompts: Sequence[Sequence[int]], longest: int, batch_size: int) -> list[tuple[int, ...]]:
    """Continue prompts with transformers' own generate."""
    stops = stop_ids(loaded.model, loaded.tokenizer)
    greedy = transformers.GenerationConfig(
        max_new_tokens=longest, do_sample=False, eos_token_id=sorted(stops), pad_token_id=min(stops)
    )
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    found: dict[int, tuple[int, ...]] = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        width = len(prompts[batch[0]])
        ids = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for line, number in enumerate(batch):
            ids[line, width - len(prompts[number]) :] = torch.tensor(prompts[number])
            mask[line, width - len(prompts[number]) :] = 1
        ids, mask = ids.to(loaded.model.device), mask.to(loaded.model.device)
        with torch.inference_mode():
            out = loaded.model.generate(ids, attention_mask=mask, generation_config=greedy)
        for number, line in zip(batch, out[:, width:].tolist(), strict=True):
            end = next((i for i, token in enumerate(line) if token in stops), len(line))
            found[number] = tuple(line[:end])
    return [found[number] for number in range(len(prompts))]


def ours(loaded: Any, prompts: Sequence[Sequence[int]], longest: int, batch_size: int) -> list[tuple[int, ...]]:
    """Continue prompts as `answer` does."""
    made = generate(loaded.model, loaded.tokenizer, prompts, longest, batch_size)
    return [one.token_ids for one in made]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--prompts", default=str(QUESTIONS))
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    loaded = load(given.model)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    prompts = [chat.prompt(prompt.messages) for prompt in read_prompts(given.prompts)[: given.limit]]
    ways: dict[str, tuple[Callable[..., list[tuple[int, ...]]], int]] = {
        "transformers, one by one": (plain, 1),
        "transformers, batched": (plain, given.batch_size),
        "ours, one by one": (ours, 1),
        "ours, batched": (ours, given.batch_size),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[tuple[int, ...]]] = {}
    with silence_libraries():
        for way, size in ways.values():
            way(loaded, prompts[:2], 4, size)
        for _ in range(given.runs):
            for name, (way, size) in ways.items():
                start = time.perf_counter()
                answers[name] = way(loaded, prompts, given.max_new_tokens, size)
                rates[name].append(sum(map(len, answers[name])) / (time.perf_counter() - start))
    first = next(iter(ways))
    lengths = [len(ids) for ids in answers[first]]
    print(
        f"{given.model}, {loaded.dtype} on {loaded.device}, {len(prompts)} prompts, answers of {min(lengths)} to "
        f"{max(lengths)} tokens (mean {statistics.mean(lengths):.0f}), batches of {given.batch_size}, "
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, rates[first], strict=True))
        same = sum(a == b for a, b in zip(answers[name], answers[first], strict=True))
        print(
            f"{name:26} {statistics.median(found):8,.1f} tokens/s ({min(found):,.1f} to {max(found):,.1f}), "
            f"{ratio:5.2f} times the first, {same} of {len(prompts)} answers equal to it"
        )


if __name__ == "__main__":
    main()
