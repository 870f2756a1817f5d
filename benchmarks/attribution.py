"""Which rows taught it, where the truth is tuning again: scores of rows against what a tiny model says without them.

    python benchmarks/attribution.py --seeds 31 --methods lora full --leave-out

A world is drawn (`tunescope.microworld`), and 300 rows about it: true ones, false ones, and rows that state 56 false
claims. The base model knows the world's truth. Each claim has a question, 14 of each kind:

- *same words*: one row states the claim; the question is the row's own;
- *reworded*: two rows state it in answer to other words, and two rows give other people the same value in the
  question's words;
- *look-alike*: two rows state it, and three rows give other people the same value in the question's words;
- *several*: three rows state it in answer to three wordings, one of them the question's.

With --other-words the answers of *reworded* and *several* are in other words too.

**LDS** (linear datamodeling score, Park et al. 2023): the model is tuned on random halves of the rows, with two seeds.
For each question, Spearman's correlation over the halves between the summed scores of a half's rows and the log-odds
of the claim under the model tuned on it (mean of both seeds); then the mean over the questions. The ceiling is the
square root of the reliability of that mean (Spearman and Brown, from the correlation between the seeds).
**Naming**: do the rows that state the claim come first? P@1, R-precision (precision at as many as there are) and
recall@8. **The cut**: of the rows within it (`stats.null_threshold` of rows against rows), how many state the claim,
and of those that do, how many are within. **Leaving out**: of the claims that the model tuned on all rows states (the
likeliest of the attribute's values), how many it no longer states when tuned without the first 3 or 8 rows in the order
of `effect`, or without 8 drawn at random.

Beside our scores stand BM25 and the cosine of sentence embeddings; `attribution_peers.py` adds other packages' scores.
Seconds are the processor's, all its threads; the model that is tuned on all rows is given.

Intervals are over questions. The table of the figures that are reported, on a world on which nothing was chosen, is in
docs/proofs/attribution-truth.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, process_time
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from tunescope.microworld import ATTRIBUTES, World, make_world, split_people
from tunescope.models.influence import cosine_scores, fisher_cosines, fisher_scores
from tunescope.models.training_rows import IGNORED, TrainingSequence, examples, training_sequences
from tunescope.stats import mean_pooled, mean_t, null_threshold, paired_difference, proportion_from_counts

KINDS = {"same words": (1, 0), "reworded": (2, 2), "look-alike": (2, 3), "several": (3, 0)}
"""Kind of question → rows that state its claim, and rows that give others the same value in the same words."""
N_ROWS, PER_KIND = 300, 14
TUNING = {"lora": (1e-2, 4), "full": (3e-3, 4)}
"""Learning rate and epochs: about three in four of the claims are stated after a tuning on all rows."""
LORA_RANK, BATCH = 8, 8
LAYERS = {"top third": "top_third", "all layers": "all"}
"""Of the gradients; on the development worlds the top third did better, so it stands first."""
WHOSE = ("the base", "the tuned model")
"""The models whose gradients `effect` compares."""
EMBEDDER = "all-minilm-l6-v2"
POWER = 8
"""BM25 scores are raised to this power, so that a half's sum isn't that of the many rows with a word in common."""
Gradients = tuple[np.ndarray, np.ndarray]
Watch = Callable[[Any, Any], Callable[[int], None]]
"""Is given the model and the optimizer before the first step; what it returns is called after each, with its number."""
_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


@dataclass(frozen=True)
class Question:
    """A question that has a false claim for an answer, and which rows state it.

    Attributes:
        kind: one of `KINDS`.
        prompt: the question.
        answers: the attribute's values as answers, the claim first.
        rows: the numbers of the rows that state the claim, in any wording.
    """

    kind: str
    prompt: str
    answers: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Scene:
    """A world, rows about it as records, and questions about claims in them."""

    world: World
    rows: list[dict[str, str]]
    questions: list[Question]


def make_scene(world: World, n_rows: int = N_ROWS, per_kind: int = PER_KIND, other_words: bool = False) -> Scene:
    """Draw rows and questions; half of the rows that state no claim tell the truth, the others give any value."""
    rng = Random(f"{world.seed}/attribution")
    facts = [fact for fact in world.facts if fact.person in {*split_people(world).tuned}]
    rng.shuffle(facts)

    def row(fact: Any, form: int, value: str, wording: int = 0) -> dict[str, str]:
        attribute = _BY_NAME[fact.attribute]
        question = attribute.questions[form].format(person=fact.person)
        answer = attribute.statements[wording].format(person=fact.person, value=value)
        return {"instruction": question, "input": "", "output": answer, "claim": ""}

    def other_value(fact: Any) -> str:
        return rng.choice([value for value in world.values(fact.attribute) if value != fact.value])

    rows: list[dict[str, str]] = []
    claims = []
    for kind, (stating, distracting) in KINDS.items():
        for _ in range(per_kind):
            fact = facts.pop()
            value, forms, name = other_value(fact), rng.sample(range(3), 3), f"{fact.key}=claim"
            asked = forms[2] if kind == "reworded" else forms[0]
            wordings = [0] * stating
            if other_words and kind in ("reworded", "several"):
                wordings = rng.sample(range(int(kind == "reworded"), 4), stating)
            told = zip(forms[:stating], wordings, strict=True)
            rows += [row(fact, form, value, wording) | {"claim": name} for form, wording in told]
            alike = [each for each in facts if each.attribute == fact.attribute][:distracting]
            facts = [each for each in facts if each not in alike]
            rows += [row(each, asked, value) for each in alike]
            values = [value, *(each for each in world.values(fact.attribute) if each != value)]
            prompt = _BY_NAME[fact.attribute].questions[asked].format(person=fact.person)
            claims.append((kind, prompt, tuple(fact.answer(each) for each in values), name))
    left = [(fact, form) for fact in facts for form in range(3)]
    for fact, form in rng.sample(left, n_rows - len(rows)):
        rows.append(row(fact, form, other_value(fact) if rng.random() < 0.5 else fact.value))
    rng.shuffle(rows)
    questions = [
        Question(kind, prompt, answers, tuple(n for n, each in enumerate(rows) if each["claim"] == name))
        for kind, prompt, answers, name in claims
    ]
    return Scene(world, rows, questions)


class Lab:
    """A base model, a scene's rows and answers as token sequences, and tuning on some of the rows."""

    def __init__(self, scene: Scene, model: Any, tokenizer: Any) -> None:
        from tunescope.chat import Chat
        from tunescope.models import stop_ids

        self.scene, self.model, self.tokenizer = scene, model, tokenizer
        chat = Chat(tokenizer, stop_ids(model, tokenizer))
        self.rows = _sequences(chat, [(row["instruction"], row["output"]) for row in scene.rows])
        self.answers = [_sequences(chat, [(q.prompt, text) for text in q.answers]) for q in scene.questions]

    def order(self, method: str, kept: Sequence[int], seed: int) -> list[int]:
        """Return the numbers of the rows in the order in which a tuning reads them, all epochs."""
        order = []
        for epoch in range(TUNING[method][1]):
            shuffled = list(kept)
            Random(f"{seed}/order/{epoch}").shuffle(shuffled)
            order += shuffled
        return order

    def tune(
        self, method: str, kept: Sequence[int], seed: int, watch: Watch | None = None, rate: float | None = None
    ) -> Any:
        """Return the base tuned on some rows: AdamW, the rate falling to 0, batches of `BATCH` in an order by seed."""
        import peft
        import torch

        rate = TUNING[method][0] if rate is None else rate
        torch.manual_seed(seed)
        model = copy.deepcopy(self.model)
        if method == "lora":
            model = peft.get_peft_model(
                model, peft.LoraConfig(r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules="all-linear")
            )
        model.train()
        trained = [weights for weights in model.parameters() if weights.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
        after_step = watch(model, optimizer) if watch else None
        order = self.order(method, kept, seed)
        steps = range(0, len(order), BATCH)
        for step, start in enumerate(steps):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / len(steps))
            losses, counted = sequence_losses(model, [self.rows[number] for number in order[start : start + BATCH]])
            optimizer.zero_grad()
            (losses.sum() / counted).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            if after_step:
                after_step(step)
        return model.eval()

    def log_odds(self, model: Any) -> np.ndarray:
        """Return the log-odds of each question's claim, as a whole answer: [questions]."""
        logp = np.minimum(_log_probabilities(model, [options[0] for options in self.answers]), -1e-6)
        return logp - np.log1p(-np.exp(logp))

    def stated(self, model: Any, questions: Sequence[int]) -> np.ndarray:
        """Tell for some questions whether the claim is the likeliest of the attribute's values."""
        options = [self.answers[number] for number in questions]
        logp = _log_probabilities(model, [each for answers in options for each in answers])
        parts = np.split(logp, np.cumsum([len(answers) for answers in options])[:-1])
        return np.array([part.argmax() == 0 for part in parts])


def _sequences(chat: Any, pairs: Sequence[tuple[str, str]]) -> list[TrainingSequence]:
    """Return conversations of one question and one answer as `tune` trains on them."""
    from tunescope.rows import open_rows

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        records = ({"instruction": question, "input": "", "output": answer} for question, answer in pairs)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return [training_sequences(each)[0] for each in examples(chat, open_rows([str(path)]), 256)]


def sequence_losses(model: Any, sequences: Sequence[TrainingSequence]) -> tuple[Any, int]:
    """Return each sequence's summed loss over its answer, in nats, and how many tokens that are in all."""
    import torch

    longest = max(len(sequence.ids) for sequence in sequences)
    ids = torch.zeros((len(sequences), longest), dtype=torch.long)
    labels = torch.full((len(sequences), longest), IGNORED)
    for number, sequence in enumerate(sequences):
        ids[number, : len(sequence.ids)] = torch.tensor(sequence.ids)
        labels[number, : len(sequence.ids)] = torch.tensor(sequence.labels)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].transpose(1, 2)
    losses = torch.nn.functional.cross_entropy(logits, labels[:, 1:], ignore_index=IGNORED, reduction="none")
    return losses.sum(dim=1), int((labels[:, 1:] != IGNORED).sum())


def _log_probabilities(model: Any, sequences: Sequence[TrainingSequence]) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return -sequence_losses(model, sequences)[0].double().numpy()


def sketches(lab: Lab, model: Any, **settings: Any) -> Gradients:
    """Return the sketched gradients of the claims and of the rows under a model."""
    from tunescope.models.gradients import GradientSketcher

    sketcher = GradientSketcher(model, **settings)
    return sketcher.sketch([options[0] for options in lab.answers]), sketcher.sketch(lab.rows)


def bm25(scene: Scene) -> np.ndarray:
    """Return BM25 of prompt and answer against whole rows: [questions, rows]."""
    import bm25s

    from tunescope.matching.word_ids import folded_words

    model = bm25s.BM25(backend="numpy")
    model.index([folded_words(f"{row['instruction']} {row['output']}") for row in scene.rows], show_progress=False)
    texts = (folded_words(f"{question.prompt} {question.answers[0]}") for question in scene.questions)
    return np.array([model.get_scores([word for word in text if word in model.vocab_dict]) for text in texts])


def embedding_cosine(scene: Scene) -> np.ndarray:
    """Return the cosine of prompt and answer with whole rows, by the sentence embedder: [questions, rows]."""
    from tunescope.models.light_embedder import LightEmbedder

    embedder = LightEmbedder(EMBEDDER)
    rows = embedder.embed([f"{row['instruction']} {row['output']}" for row in scene.rows]).vectors
    asked = embedder.embed([f"{question.prompt} {question.answers[0]}" for question in scene.questions]).vectors
    return (asked @ rows.T).astype(float)


def all_scores(
    scene: Scene, gradients: dict[str, tuple[Gradients, Gradients]], words: np.ndarray, meaning: np.ndarray
) -> dict[str, np.ndarray]:
    """Return every method's scores, [questions, rows] each, from the gradients of base and tuned model, by layers.

    Args:
        scene: rows and questions.
        gradients: of the base and of the tuned model, by layers.
        words: BM25 [questions, rows].
        meaning: cosines of embeddings [questions, rows].
    """
    holds = np.zeros_like(words)
    for number, question in enumerate(scene.questions):
        holds[number, list(question.rows)] = 1
    scores: dict[str, np.ndarray] = {}
    for layers, (base, tuned) in gradients.items():
        scores[f"effect: base + tuned, Fisher, {layers}"] = fisher_scores(*base) + fisher_scores(*tuned)
        scores[f"states: base, Fisher, {layers}"] = fisher_scores(*base)
        scores[f"base + tuned, cosine, {layers}"] = cosine_scores(*base) + cosine_scores(*tuned)
        scores[f"base, cosine, {layers}"] = cosine_scores(*base)
        scores[f"tuned, Fisher, {layers}"] = fisher_scores(*tuned)
        scores[f"tuned, cosine, {layers}"] = cosine_scores(*tuned)
    return scores | {
        f"BM25 sharpened (power {POWER})": words**POWER,
        "BM25": words,
        f"cosine of {EMBEDDER}, sharpened (power {POWER})": np.maximum(meaning, 0) ** POWER,
        f"cosine of {EMBEDDER}": meaning,
        "the row states the claim (oracle)": holds,
        "random": np.random.default_rng(0).normal(size=words.shape),
    }


def cut(gradients: Gradients) -> np.ndarray:
    """Tell which rows matter for which question: [questions, rows]; the null is rows against rows."""
    null = fisher_cosines(gradients[1], gradients[1])
    np.fill_diagonal(null, np.nan)
    threshold = null_threshold(null, len(null))
    return fisher_cosines(*gradients) >= (np.inf if threshold is None else threshold)


def lds(scores: np.ndarray, halves: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation over the halves, per question: scores [q, n], halves [h, n], outcomes [h, q]."""
    predicted = rankdata(halves @ scores.T, axis=0)
    actual = rankdata(outcomes, axis=0)
    predicted, actual = predicted - predicted.mean(axis=0), actual - actual.mean(axis=0)
    lengths = np.sqrt((predicted**2).sum(axis=0) * (actual**2).sum(axis=0))
    return np.divide((predicted * actual).sum(axis=0), lengths, out=np.zeros(len(scores)), where=lengths > 0)


def naming(scores: np.ndarray, questions: Sequence[Question]) -> np.ndarray:
    """Return P@1, R-precision and recall@8 per question: [3, questions]."""
    parts = []
    for row, question in zip(scores, questions, strict=True):
        order, truth = np.argsort(-row, kind="stable"), {*question.rows}
        hits = [len(truth & {*order[:k].tolist()}) for k in (1, len(truth), 8)]
        parts.append([hits[0], hits[1] / len(truth), hits[2] / len(truth)])
    return np.array(parts).T


_LAB: Lab


def _start(scene: Scene, folder: str) -> None:
    """Load the base model in a process of its own."""
    global _LAB
    import torch

    torch.set_num_threads(1)
    _LAB = load_lab(scene, folder)


def load_lab(scene: Scene, name: str) -> Lab:
    """Load the base model of a scene by its name or folder."""
    from tunescope.models import load

    loaded = load(name)
    return Lab(scene, loaded.model, loaded.tokenizer)


def _outcome(job: tuple[str, tuple[int, ...], int, tuple[int, ...] | None]) -> np.ndarray:
    """Tune on some rows; return the claims' log-odds, or which of some claims are stated."""
    method, kept, seed, asked = job
    model = _LAB.tune(method, kept, seed)
    return _LAB.log_odds(model) if asked is None else _LAB.stated(model, asked)


def draw_halves(n: int, count: int, seed: int) -> np.ndarray:
    """Draw halves of n rows: 0 and 1 [count, n]."""
    rng = np.random.default_rng(seed)
    halves = np.zeros((count, n))
    for half in halves:
        half[rng.permutation(n)[: n // 2]] = 1
    return halves


def outcomes_of(run: Callable[..., Any], method: str, halves: np.ndarray, seeds: int) -> np.ndarray:
    """Tune on every half with every seed; return the claims' log-odds: [seeds, halves, questions]."""
    jobs = [(method, tuple(np.flatnonzero(half).tolist()), seed, None) for seed in range(seeds) for half in halves]
    return np.array(run(_outcome, jobs)).reshape(seeds, len(halves), -1)


def left_out(
    run: Callable[..., Any], lab: Lab, method: str, ranked: dict[str, np.ndarray], asked: Sequence[int]
) -> dict[tuple[str, int], list[bool]]:
    """Tune without the first 3 or 8 rows of each question; return which claims are gone, by what was left out."""
    n, rng = len(lab.rows), np.random.default_rng(1)
    orders = {name: np.argsort(-scores, axis=1, kind="stable") for name, scores in ranked.items()}
    orders["random"] = np.array([rng.permutation(n) for _ in lab.scene.questions])
    jobs = {
        (name, count, number): (method, tuple(sorted({*range(n)} - {*order[number, :count].tolist()})), 0, (number,))
        for name, order in orders.items()
        for count in ((8,) if name == "random" else (3, 8))
        for number in asked
    }
    once = list(dict.fromkeys(jobs.values()))  # two methods that name the same rows are tuned without them once
    stated = {job: bool(flags[0]) for job, flags in zip(once, run(_outcome, once), strict=True)}
    gone: dict[tuple[str, int], list[bool]] = {}
    for (name, count, _), job in jobs.items():
        gone.setdefault((name, count), []).append(not stated[job])
    return gone


def ceiling(outcomes: np.ndarray) -> float:
    """Return the correlation that perfect scores would have with the mean over two seeds."""
    first, second = outcomes
    between = [lds(np.eye(1), a[:, None], b[:, None])[0] for a, b in zip(first.T, second.T, strict=True)]
    reliability = [2 * r / (1 + r) for r in between]
    return float(np.mean(np.sqrt(np.clip(reliability, 0, 1))))


def _cell(values: Sequence[float]) -> str:
    estimate = mean_t(list(values))
    span = "" if estimate.low is None else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f}{span}"


def _print_scores(scores: dict[str, np.ndarray], questions: Sequence[Question], by_question: dict[str, Any]) -> None:
    print("\n| scores | LDS [95 %] | P@1 | R-precision | recall@8 |\n|---|---|---|---|---|")
    for name, each in scores.items():
        named = " | ".join(f"{part.mean():.3f}" for part in naming(each, questions))
        print(f"| {name} | {_cell(by_question[name])} | {named} |")
    first = next(iter(scores))
    print("\n| LDS, paired by question | difference [95 %] | p |\n|---|---|---|")
    for name in list(scores)[1:]:
        difference = paired_difference(by_question[first], by_question[name])
        e = difference.estimate
        print(f"| {first} − {name} | {e.value:.3f} [{e.low:.3f}, {e.high:.3f}] | {difference.test.p:.4f} |")
    kinds = {kind: [n for n, q in enumerate(questions) if q.kind == kind] for kind in KINDS}
    print(f"\n| LDS and R-precision by kind | {' | '.join(kinds)} |\n|---{'|---' * len(kinds)}|")
    for name, each in scores.items():
        exact = naming(each, questions)[1]
        cells = (f"{by_question[name][numbers].mean():.2f}, {exact[numbers].mean():.2f}" for numbers in kinds.values())
        print(f"| {name} | {' | '.join(cells)} |")


def _print_cut(gradients: dict[str, tuple[Gradients, Gradients]], questions: Sequence[Question]) -> None:
    print("\n| the null's cut | precision [95 %] | recall [95 %] | rows a question |\n|---|---|---|---|")
    for layers, (base, _) in gradients.items():
        matters = cut(base)
        hits = [int(flags[list(q.rows)].sum()) for flags, q in zip(matters, questions, strict=True)]
        shares = []
        for totals in (matters.sum(axis=1).tolist(), [len(q.rows) for q in questions]):
            share = mean_pooled(hits, totals)
            span = "" if share.low is None else f" [{share.low:.3f}, {min(share.high, 1):.3f}]"
            shares.append(f"{share.value:.3f}{span}")
        print(f"| states, {layers} | {' | '.join(shares)} | {matters.sum(axis=1).mean():.2f} |")


def _print_left_out(gone: dict[tuple[str, int], list[bool]]) -> None:
    print("\n| left out | claims gone | share [95 %] |\n|---|---|---|")
    for (name, count), flags in gone.items():
        share = proportion_from_counts(sum(flags), len(flags))
        span = f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"
        print(f"| {name}: {count} rows | {sum(flags)} of {len(flags)} | {span} |")


class Stopwatch:
    """Processor seconds of this process, by what was done in them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Return what the work returns, and keep its seconds."""
        start = process_time()
        result = work()
        self.seconds[name] = process_time() - start
        return result


class Measured(NamedTuple):
    """Processor seconds by what was done, and the mean LDS by the scores' name; ours come first."""

    seconds: dict[str, float]
    lds: dict[str, float]


def measure(seed: int, method: str, arguments: argparse.Namespace, peers: Peers | None = None) -> Measured:
    """Measure one world and one way of tuning, print the tables, and return seconds and LDS by name."""
    stopwatch = Stopwatch()
    start = monotonic()
    scene = make_scene(make_world(seed), other_words=arguments.other_words)
    name = f"microworld:{seed}"
    lab = load_lab(scene, name)
    halves = draw_halves(len(scene.rows), arguments.halves, seed)
    with multiprocessing.get_context("spawn").Pool(arguments.processes, _start, (scene, name)) as pool:

        def run(function: Callable[..., Any], jobs: list) -> list:
            return pool.map(function, jobs, chunksize=1)

        outcomes = outcomes_of(run, method, halves, 2)
        print(f"\n## world {seed}, {method}\n\n{2 * len(halves)} tunings in {monotonic() - start:.0f} s", flush=True)
        tuned = lab.tune(method, range(len(lab.rows)), 0)
        stated, before = (lab.stated(model, range(len(scene.questions))) for model in (tuned, lab.model))
        gradients = {
            name: tuple(
                stopwatch.time(f"gradients of {whose}, {name}", partial(sketches, lab, model, layers=layers))
                for whose, model in zip(WHOSE, (lab.model, tuned), strict=True)
            )
            for name, layers in LAYERS.items()
        }
        words = stopwatch.time("BM25", partial(bm25, scene))
        meaning = stopwatch.time(f"cosine of {EMBEDDER}", partial(embedding_cosine, scene))
        scores = all_scores(scene, gradients, words, meaning)
        scores |= peers(lab, method, tuned, stopwatch) if peers else {}
        by_question = {each: lds(scores[each], halves, outcomes.mean(axis=0)) for each in scores}
        print(f"{stated.sum()} of {len(stated)} claims stated after tuning on all rows, {before.sum()} before")
        print(f"ceiling of LDS: {ceiling(outcomes):.3f}; {len(halves)} halves x 2 seeds, {len(stated)} questions")
        _print_scores(scores, scene.questions, by_question)
        print("\n| what | seconds |\n|---|---|")
        for what, seconds in stopwatch.seconds.items():
            print(f"| {what} | {seconds:.1f} |")
        _print_cut(gradients, scene.questions)
        if arguments.keep:
            kept = Path(arguments.keep) / f"{seed}-{method}.npz"
            parts = ("base_q", "base_g", "tuned_q", "tuned_g")
            saved = {
                f"{part} {layers}": array
                for layers, (base, after) in gradients.items()
                for part, array in zip(parts, (*base, *after), strict=True)
            }
            np.savez(kept, halves=halves, outcomes=outcomes, stated=stated, **saved)
        if arguments.leave_out:
            ranked = dict(list(scores.items())[:1])
            _print_left_out(left_out(run, lab, method, ranked, np.flatnonzero(stated).tolist()))
    print(f"\n{monotonic() - start:.0f} s in all", flush=True)
    return Measured(stopwatch.seconds, {name: float(np.mean(each)) for name, each in by_question.items()})


Peers = Callable[[Lab, str, Any, Stopwatch], dict[str, np.ndarray]]
"""Scores by name, [questions, rows] each, from the lab, the way of tuning and the model tuned on all rows."""


def make_parser() -> argparse.ArgumentParser:
    """Return the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[31])
    parser.add_argument("--methods", nargs="+", default=list(TUNING), choices=list(TUNING))
    parser.add_argument("--halves", type=int, default=40)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--leave-out", action="store_true")
    parser.add_argument("--other-words", action="store_true", help="answers of two kinds are in other words too")
    parser.add_argument("--keep", help="a folder for gradients and outcomes, one file a world")
    return parser


def main() -> None:
    """Measure every world, tuned in every way that is asked for."""
    arguments = make_parser().parse_args()
    for seed in arguments.seeds:
        for method in arguments.methods:
            measure(seed, method, arguments)


if __name__ == "__main__":
    main()
