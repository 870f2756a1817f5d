"""What `measure`, `answer` and `shift` do on every architecture that transformers can build small.

    python tools/architectures.py RESULTS.jsonl            # goes on where RESULTS.jsonl ends; a line per architecture
    python tools/architectures.py RESULTS.jsonl --page docs/proofs/architectures.md

Each is built with random weights, in a process of its own. The verbs run on rows of different lengths, some of which
reach beyond the windows and chunks of the config. Their numbers are compared with the model's own logits, one text at
a time: in float32, and in bfloat16 with the arithmetic of float32 around the same weights.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
import transformers
from tiny_models import NAMES, VOCABULARY, build

import tunescope.chat.sequences
import tunescope.verbs.measure.measures.perplexity
import tunescope.verbs.measure.shard
import tunescope.verbs.shift.pair
import tunescope.verbs.shift.shard  # noqa: F401
from tunescope.errors import TunescopeError
from tunescope.microworld.tokenizer import build_tokenizer
from tunescope.microworld.world import make_world
from tunescope.models.generate import _choose_way, generate
from tunescope.models.load import load
from tunescope.models.packing import Passage
from tunescope.models.probe import in_float32, own_logits, require_causal
from tunescope.models.score import Scorer
from tunescope.verbs.answer import AnswerSettings, answer
from tunescope.verbs.measure import MeasureSettings, measure
from tunescope.verbs.shift import ShiftSettings, shift
from tunescope.views import shorten

BOUND = 2e-3
"""Nats that a log-probability may differ from the model's own, in the arithmetic of float32."""
SECONDS = 60
"""CPU time for one architecture."""
N_NEW = 8
COLUMNS = ("measure, float32", "measure, bfloat16", "answer, float32", "answer, bfloat16", "shift, float32")
WAYS = {"packed": "packed", "padded": "padded", "single": "one at a time", "whole": "one at a time"} | {
    "batched": "in batches",
    "uncached": "one at a time, without a cache",
}


def passages() -> list[Passage]:
    """Return passages of 3 to 100 tokens: some end early, two share a beginning, some reach beyond every window."""
    draws = random.Random(1)
    made = []
    for length in (100, 5, 17, 31, 72, 100, 3, 50):
        ids = tuple(draws.randrange(8, VOCABULARY) for _ in range(length))
        cut = 3 if length == 100 else draws.randrange(1, length)
        made.append(Passage(ids[:cut], ids[cut:]))
    return [*made, Passage(made[0].context + made[0].target[:9] + (9,), (10, 11, 12, 13))]


def own_scores(model: Any, passage: Passage) -> np.ndarray[Any, Any]:
    """Score one passage by the definition, from the logits of the whole."""
    ids = [*passage.context, *passage.target]
    logits = own_logits(model, ids[:-1], len(passage.target)).float().log_softmax(-1)
    return np.asarray(logits.gather(1, torch.tensor(passage.target)[:, None])[:, 0].numpy())


def score(model: Any) -> str:
    """Say how passages are scored; "WRONG" where that isn't the model's own."""
    scorer = Scorer(model, pack=120)
    scorer.score(passages())
    try:
        with in_float32(model) as is_exact:
            apart = _apart(scorer, model)
    except RuntimeError:  # its code names a number format, and can't be widened
        is_exact, apart = False, _apart(scorer, model)
    bound = BOUND if is_exact else 0.3
    return WAYS[scorer.method] if apart.max() < bound else f"WRONG: {scorer.method}, {apart.max():.2g} nats"


def _apart(scorer: Scorer, model: Any) -> np.ndarray[Any, Any]:
    """Return how far our scores are from the model's own, in nats."""
    own = np.concatenate([own_scores(model, passage) for passage in passages()])
    return np.abs(np.concatenate(scorer.score(passages())) - own)


class Ids:
    """As much of a tokenizer as generation needs."""

    eos_token_id = 3

    def decode(self, ids: list[int], **_: Any) -> str:
        """Return the ids."""
        return " ".join(map(str, ids))


def answers(model: Any) -> str:
    """Say how prompts are continued; "WRONG" where that isn't what the model says one token after the other."""
    draws = random.Random(2)
    prompts = [[draws.randrange(8, VOCABULARY) for _ in range(n)] for n in (3, 60, 5, 44, 1)]
    way = _choose_way(model, 60 + N_NEW)
    with in_float32(model):
        for prompt, answer in zip(prompts, generate(model, Ids(), prompts, N_NEW, 3), strict=True):
            for place, token in enumerate(answer.token_ids):
                logits = own_logits(model, [*prompt, *answer.token_ids[:place]], 1)[0]
                if float(logits.max() - logits[token]) > 10 * BOUND:
                    return f"WRONG: {way}, token {place} after {len(prompt)}"
    return WAYS[way]


def verbs(name: str, model: Any) -> str:
    """Run `measure`, `answer` and `shift` on the model in a folder; say how they end, and compare shift's numbers."""
    tokenizer = build_tokenizer(make_world(0, 8))
    long = "Bor works as a baker, and every day a baker goes to work as a baker. " * 4
    turns = [("What does Bor work as?", long), ("Which pet?", "A cat and a dog."), ("Which colour?", "red")]
    rows = [{"instruction": ask, "output": reply} for ask, reply in turns]
    Path("rows.json").write_text(json.dumps(rows))
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt_id": q, "prompt": q}) + "\n" for q, _ in turns))
    records = [{"prompt_id": ask, "prompt": ask, "text": reply} for ask, reply in turns]
    Path("answers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for folder in ("base", "tuned"):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        with torch.no_grad():
            for weights in model.parameters():
                weights += 0.05 * torch.randn_like(weights)
    measure(MeasureSettings(rows=("rows.json",), model="base", without=("coherence",), dtype="float32"))
    answer(AnswerSettings(prompts="prompts.jsonl", model="base", max_new_tokens=4, dtype="float32"))
    run = shift(ShiftSettings(tuned="tuned", base="base", answers="answers.jsonl", dtype="float32"))
    tokens = run.tables["tokens"].select(["answer_id", "token_id", "kl"]).to_pylist()
    models = [load(folder).model for folder in ("base", "tuned")]
    own = load("base").tokenizer  # some architectures have a tokenizer class of their own, which cuts otherwise
    apart = [0.0]
    for ask, _ in turns:
        chat = [{"role": "user", "content": ask}]
        prompt = own.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        mine = [each for each in tokens if each["answer_id"] == tokens[0]["answer_id"]]
        tokens = tokens[len(mine) :]
        ids = [*prompt, *(each["token_id"] for each in mine)]
        b, t = (own_logits(m, ids[:-1], len(mine)).double().log_softmax(-1) for m in models)
        kl = (b.exp() * (b - t)).sum(-1)
        apart += [abs(a - e["kl"]) / max(1, a) for a, e in zip(kl.tolist(), mine, strict=True)]
    return "exact" if max(apart) < BOUND else f"WRONG: KL off by {max(apart):.2g}"


def examine(name: str) -> dict[str, str]:
    """Return a cell for each column, or why the model can't be built."""
    try:
        model = build(name)
    except Exception as error:  # noqa: BLE001  whatever a config class raises
        return {"not built": f"{type(error).__name__}: {shorten(' '.join(str(error).split()), 160)}"}
    cells = {}

    def cell(column: str, work: Any) -> None:
        try:
            cells[column] = work()
        except TunescopeError as error:
            cells[column] = f"refused: {error}"
        except Exception as error:  # noqa: BLE001  what a user would see as a traceback
            cells[column] = f"TRACEBACK {type(error).__name__}: {shorten(' '.join(str(error).split()), 160)}"

    try:
        require_causal(model, name)
    except TunescopeError as error:
        return {"refused": str(error)}
    cell("measure, float32", lambda: score(model))
    cell("answer, float32", lambda: answers(model))
    model.to(torch.bfloat16)
    cell("measure, bfloat16", lambda: score(model))
    cell("answer, bfloat16", lambda: answers(model))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TUNESCOPE_RUNS"] = folder
        cell("shift, float32", lambda: verbs(name, build(name)))
        os.chdir("/")
    return cells


def run(results: Path, names: list[str]) -> None:
    """Examine what has no line in `results` yet; another process may do the same from the other end."""
    for name in names:
        if results.exists() and any(json.loads(line)["name"] == name for line in results.read_text().splitlines()):
            continue
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            cells = examine(name)
            seconds = round(time.process_time(), 1)
            with results.open("a") as file:
                file.write(json.dumps({"name": name, "seconds": seconds, **cells}) + "\n")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            with results.open("a") as file:
                file.write(
                    json.dumps({"name": name, "failed": f"no result in {SECONDS} s of CPU time, or it crashed"}) + "\n"
                )


def write_page(results: Path, page: Path) -> None:
    """Write the table of the results, with counts."""
    lines = sorted((json.loads(line) for line in results.read_text().splitlines()), key=lambda line: line["name"])
    ran = [line for line in lines if COLUMNS[0] in line]
    others = [line for line in lines if line not in ran]
    head = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    text = [
        "# Architectures\n",
        "Which model architectures work?",
        "This page shows what `measure`, `answer` and `shift` do on the architectures of transformers"
        f" {transformers.__version__}, built",
        "small with random weights, on a CPU. `tools/architectures.py` makes this page; no test runs it whole.\n",
        "- *packed*: texts are concatenated in one row. *padded*: they are rows of one batch. *one at a time*: packing",
        "  and padding both change the numbers, so each text runs alone. *WRONG*, *TRACEBACK*: not fixed yet.",
        "- Numbers were compared with the model's own logits on the text alone. Some texts end early, some have other",
        "  neighbours, and some reach beyond windows and chunks. The bfloat16 reference is computed in float32 with",
        "  the rounded weights.\n",
        f"{len(lines)} of {len(NAMES)} were run (variants have their setting in brackets): {len(ran)} were tested,",
        f"{sum('refused' in line for line in others)} aren't causal,",
        f"{sum('not built' in line for line in others)} can't be built small,",
        f"{sum('failed' in line for line in others)} gave no result in {SECONDS} s of CPU time.\n",
        *head,
    ]
    text += [
        "| " + " | ".join([line["name"], *(line[each].partition(":")[0] for each in COLUMNS)]) + " |" for line in ran
    ]
    text += ["\n## Counts\n", *head]
    counts = [Counter(line[each].partition(":")[0] for line in ran) for each in COLUMNS]
    for kind in sorted({kind for count in counts for kind in count}):
        text.append("| " + " | ".join([kind, *(str(count[kind]) for count in counts)]) + " |")
    text.append("\n## Not causal, not built, refused\n")
    for line in lines:
        reasons = {str(value) for key, value in line.items() if key in ("refused", "not built") or ": " in str(value)}
        for reason in sorted(reasons):
            text.append(f"- {line['name']}: {reason.removeprefix('refused: ').removeprefix(line['name'] + ': ')}")
    page.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    file, *arguments = sys.argv[1:]
    if arguments[:1] == ["--page"]:
        write_page(Path(file), Path(arguments[1]))
    else:
        run(Path(file).resolve(), arguments or NAMES)
