"""Run folders of answers, token shift and traces, written by hand as their verbs write them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tunescope.answers import Answer
from tunescope.prompts import Prompt
from tunescope.results.attribute import AttributedAnswer, AttributeResult, NamedRow, RowEvidence
from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import keys, schema
from tunescope.results.shift import CLASSES, FirstMinusRest, ShiftAnswer, ShiftedWords, ShiftResult, ShiftTokens
from tunescope.results.trace import BorrowedWords, Excess, TraceAnswersResult, TracedAnswer
from tunescope.runs import Outcome, Run, execute, out_field
from tunescope.views import View


@dataclass(frozen=True, kw_only=True)
class HandSettings:
    """What a run written by hand is called by."""

    model: str = ""
    """Of answers."""

    base: str = ""
    """Of token shift."""

    tuned: str = ""
    """Of token shift."""

    seed: str = field(default="")
    """What makes the run another."""

    out: str | None = out_field()
    """The folder."""


def answer_of(prompt_id: str, prompt: str, text: str, model: str, **known: Any) -> Answer:
    """Make an answer."""
    return Answer.to(Prompt(prompt_id, prompt), text, model, finish_reason="stop", **known)


def answer_run(folder: Path, answers: Sequence[Answer], seed: str = "") -> Run:
    """Write a run of `answer`."""

    def work(run: Any) -> Outcome:
        run.records("answers", [answer.as_json() for answer in answers])
        return Outcome({}, View((f"{len(answers)} answers.",)))

    settings = HandSettings(model=answers[0].model, seed=seed, out=str(folder))
    return execute("answer", 1, settings, {}, work)


def classed(rank: int) -> str:
    """Return the class of a rank, as the design defines it."""
    return "unshifted" if rank == 1 else "marginal" if rank <= 3 else "shifted"


def token_rows(answer: Answer, pieces: Sequence[str], numbers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lay tokens end to end over the answer's text; `numbers` gives rank, probability, kl and favourites of each."""
    rows, at = [], 0
    for position, (piece, given) in enumerate(zip(pieces, numbers, strict=True)):
        rank = given.get("base_rank", 1)
        rows.append(
            {
                "answer_id": answer.answer_id,
                "position": position,
                "token_id": position,
                "token": piece,
                "char_start": at,
                "char_end": at + len(piece),
                "sentence": 0,
                "part": "first" if position == 0 else "rest",
                "kl": 0.5,
                "kl_reverse": 0.4,
                "base_prob": 0.25,
                "base_rank": rank,
                "class": classed(rank),
                "log_ratio": 0.1,
                "top_token": None,
                "base_top_token": piece,
                **given,
            }
        )
        at += len(piece)
    return rows


def estimate(mean: float, low: float | None = None, high: float | None = None, n: int = 12) -> MeanEstimate:
    """Make an estimate as it stands in a result."""
    return MeanEstimate(mean=mean, low=low, high=high, n=n, n_missing=0, method="by hand")


def shift_result(**given: Any) -> ShiftResult:
    """Make a result of `shift`; every mean is 1 but for those given."""
    means = {
        name: estimate(1.0)
        for name in (*CLASSES, "kl", "kl_reverse", "base_prob", "base_rank", "own_choice", "kl_first", "kl_rest")
    }
    return ShiftResult(
        **{
            **means,
            "base_template": "same",
            "answers": 12,
            "n_missing": 0,
            "kl_first_minus_rest": FirstMinusRest.from_json(estimate(0.0).as_json()),
            "answer_tokens": estimate(1.0),
            "words": ShiftedWords(counts={}, groups={}, frequent=()),
            **given,
        }
    )


def shift_run(
    folder: Path,
    answers: Sequence[Answer],
    tokens: list[dict[str, Any]],
    base: str = "base",
    reasons: dict[str, str] | None = None,
) -> Run:
    """Write a run of `shift`; `reasons` says by answer id why it couldn't be read."""

    def work(run: Any) -> Outcome:
        run.records("answers", [answer.as_json() for answer in answers])
        run.table("tokens", pa.Table.from_pylist(tokens, schema(ShiftTokens)))
        blank = dict.fromkeys(keys(ShiftAnswer))
        why = [{**blank, "answer_id": one.answer_id, "reason": (reasons or {}).get(one.answer_id)} for one in answers]
        run.table("answers", ShiftAnswer.table(map(ShiftAnswer.from_json, why)))
        shares = {name: estimate(sum(row["class"] == name for row in tokens) / len(tokens)) for name in CLASSES}
        result = shift_result(base=base, tuned=model, tokens=len(tokens), **shares)
        return Outcome(result.as_json(), View(("It was compared.", "More about it.")))

    model = answers[0].model
    return execute("shift", 1, HandSettings(base=base, tuned=model, seed=str(folder), out=str(folder)), {}, work)


def span_row(
    row_id: str, field_name: str, start: int, end: int, shared: list[list[int]], **more: Any
) -> dict[str, Any]:
    """Make a row of a borrowed span."""
    return {
        "row_id": row_id,
        "group_size": 1,
        "field": field_name,
        "row_char_start": start,
        "row_char_end": end,
        "edits": 0,
        "chain_bits": 31.25,
        "prompt_bm25": 2.5,
        "cosine": None,
        "influence": None,
        "file": "rows.jsonl",
        "line": 7,
        "shared_words": 2,
        "exact": True,
        "shared": shared,
        **more,
    }


def span_of(answer: Answer, start: int, end: int, kind: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Make a borrowed span."""
    text = answer.text[start:end]
    return {
        "answer_id": answer.answer_id,
        "char_start": start,
        "char_end": end,
        "text": text,
        "kind": kind,
        "words": len(text.split()),
        "shared_words": len(text.split()),
        "bits": 31.25,
        "ref_bits": None,
        "contrast_bits": None,
        "count": len(rows),
        "n_row_groups": len(rows),
        "p_null": 0.0125,
        "shift": None,
        "score": 3.5,
        "rows": rows,
        "string_found": True,
        "evidence": ["rarity"],
        "dataset_fingerprint": "f00d",
        "null_source": "the answers of base",
        "settings": {},
        **more,
    }


def trace_run(
    folder: Path,
    answers: Sequence[Answer],
    rows: list[dict[str, Any]],
    spans: list[dict[str, Any]],
    flagged: list[dict[str, Any]] | None = None,
) -> Run:
    """Write a run of `trace`; flagged words are those in spans, and half of them expected, where nothing is given."""
    if flagged is None:
        flagged = [flagged_of(answer, spans) for answer in answers]

    def work(run: Any) -> Outcome:
        run.records("answers", [answer.as_json() for answer in answers])
        run.records("rows", rows)
        run.records("spans", spans)
        run.table("answers", TracedAnswer.table(map(TracedAnswer.from_json, flagged)))
        result = trace_result(len(answers), sum(len(answer.text.split()) for answer in answers))
        return Outcome(
            result.as_json(), View((f"{len(spans)} borrowed spans, {len(spans) / 2:g} expected by chance.",))
        )

    return execute("trace", 1, HandSettings(seed=str(folder), out=str(folder)), {}, work)


def trace_result(n: int, words: int) -> TraceAnswersResult:
    """Make a result of `trace`: 30 % of the words are flagged, 10 % by chance."""
    excess = Excess.from_json(estimate(0.2, 0.05, 0.35, n).as_json() | {"p": 0.004})
    summary = BorrowedWords(flagged=estimate(0.3), expected=estimate(0.1), excess=excess, answers_p_05=estimate(0.5))
    return TraceAnswersResult(
        n=n,
        n_missing=0,
        words=words,
        summary=summary,
        threshold_bits=20.0,
        null_source="the answers of base",
        spans=(),
        limitations_measures={},
        rows_indexed=9,
        rows_named=(),
        copies=(),
        copied_words=0,
        answers_with_copies=0,
    )


def flagged_of(answer: Answer, spans: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the words in an answer's spans."""
    count = sum(span["words"] for span in spans if span["answer_id"] == answer.answer_id)
    return {
        **dict.fromkeys(keys(TracedAnswer)),
        "answer_id": answer.answer_id,
        "prompt_id": answer.prompt_id,
        "tokens": len(answer.text.split()),
        "flagged": count,
        "expected": count / 2,
        "excess": count / 2,
    }


def attribute_run(
    folder: Path, answers: Sequence[Answer], rows: dict[str, list[dict[str, Any]]], matters: int | None = None
) -> Run:
    """Write a run of `attribute`; `rows` has by answer id what is said of the rows, each with its `texts`."""

    def work(run: Any) -> Outcome:
        run.records("answers", [answer.as_json() for answer in answers])
        named = {row["row_id"]: row for listed in rows.values() for row in listed}
        run.records("named", [NamedRow.from_json(row | NOWHERE).as_json() for row in named.values()])
        attributed = []
        for answer in answers:
            about = {"answer_id": answer.answer_id, "prompt_id": answer.prompt_id}
            listed = tuple(
                RowEvidence.from_json({**dict.fromkeys(keys(RowEvidence)), **about, **row, **NOWHERE, "rank": rank})
                for rank, row in enumerate(rows.get(answer.answer_id, ()), 1)
            )
            reason = "no null" if matters is None else None
            attributed.append(AttributedAnswer(**about, matters=matters, reason=reason, rows=listed))
        result = AttributeResult(
            n=len(answers),
            n_missing=0,
            rows_indexed=9,
            evidence=("words",),
            left_out={},
            constant=10,
            answers=tuple(attributed),
        )
        return Outcome(result.as_json(), View(("The rows that taught them.", "More about it.")))

    return execute("attribute", 1, HandSettings(seed=str(folder), out=str(folder)), {}, work)


NOWHERE = {"file": "rows.jsonl", "line": 7, "record": None}
"""Where rows of runs written by hand are."""

TEXT = (
    "the a of and to in is was for on with as by that it from an are this be have which at one all can has more their "
    "people baker goat colour window between answer model question number because although through several important"
)
WORDS = TEXT.split()


def many(folder: Path, answers: int, tokens: int, models: Sequence[str], seed: int = 0) -> list[Run]:
    """Write shift and trace runs of made-up answers: 3 borrowed spans an answer, each with 5 rows."""
    rng = random.Random(seed)
    runs = []
    rows = [
        {
            "row_id": f"{number:016x}",
            "origin": f"{number:016x}",
            "file": "data/rows.jsonl",
            "line": number + 1,
            "fields": {
                "instruction": " ".join(rng.choices(WORDS, k=12)),
                "input": "",
                "output": " ".join(rng.choices(WORDS, k=60)),
            },
            "lineage": [],
        }
        for number in range(answers)
    ]
    for model in models:
        made, table, spans = [], [], []
        for number in range(answers):
            pieces = [" " * (place > 0) + rng.choice(WORDS) for place in range(tokens)]
            answer = answer_of(f"q{number}", " ".join(rng.choices(WORDS, k=15)), "".join(pieces), model)
            made.append(answer)
            numbers = []
            for _ in pieces:
                rank = 1 if rng.random() < 0.75 else round(1 + rng.expovariate(1 / 200))
                favourite = {"base_top_token": " " + rng.choice(WORDS)} if rank > 1 else {}
                other = {"top_token": " " + rng.choice(WORDS)} if rng.random() < 0.05 else {}
                numbers.append(
                    {"base_rank": rank, "base_prob": rng.random() ** 3, "kl": rng.expovariate(2), **favourite, **other}
                )
            table += token_rows(answer, pieces, numbers)
            ends = [row["char_end"] for row in table[-tokens:]]
            for first in (tokens // 10, tokens * 4 // 10, tokens * 7 // 10):
                start, end = ends[first] + 1, ends[first + 8]
                named = []
                for row in (rows[(number * 3 + k) % answers] for k in range(5)):
                    place = {"file": row["file"], "line": row["line"]}
                    named.append(span_row(row["row_id"], "output", 5, 45, [[start, end, 5, 45]], **place))
                spans.append(span_of(answer, start, end, rng.choice(["verbatim", "near", "similar"]), named))
        runs.append(shift_run(folder / f"shift-{model}", made, table))
        runs.append(trace_run(folder / f"trace-{model}", made, rows, spans))
    return runs
