"""Judgement files of every format, made up small, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def annotation(number: int, preference: Any, **columns: Any) -> dict[str, Any]:
    """Return a record of AlpacaEval's."""
    record = {
        "instruction": f"Question {number}?",
        "output_1": "short",
        "generator_1": "base",
        "output_2": "rather longer" + "!" * number,
        "generator_2": "tuned",
        "annotator": "judge",
        "dataset": "odd" if number % 2 else "even",
        "preference": preference,
    }
    return record | columns


def review(number: int, scores: Any, reverse: Any, **columns: Any) -> dict[str, Any]:
    """Return a record of Cherry_LLM's; `reverse` has Answer2's score first."""
    record = {
        "text": f"Question {number}?",
        "Answer1": "short",
        "Answer2": "rather longer" + "!" * number,
        "review": f"{scores[0]:g} {scores[1]:g}\nBecause.",
        "scores": str([float(s) for s in scores]),
        "review_reverse": f"{reverse[0]:g} {reverse[1]:g}\nBecause.",
        "scores_reverse": str([float(s) for s in reverse]),
    }
    return record | columns


def line(number: int, scores: Any, first: str = "x", second: str = "y", **columns: Any) -> dict[str, Any]:
    """Return a record of SelFee's."""
    record = {
        "review_id": f"{first}{second}{number}",
        "question_id": number,
        "answer1_id": f"{first}{number}",
        "answer2_id": f"{second}{number}",
        "reviewer_id": 1,
        "metadata": {},
        "text": f"{scores[0]:g} {scores[1]:g}\nBecause.",
        "score": [float(s) for s in scores],
    }
    return record | columns


def match(number: int, first: str, second: str, turn: int = 1, **columns: Any) -> dict[str, Any]:
    """Return a pair record of FastChat's."""
    letters = {"model_1": "A", "model_2": "B", "tie": "C", "error": "?"}
    swapped = {"model_1": "B", "model_2": "A", "tie": "C", "error": "?"}
    record = {
        "question_id": number,
        "model_1": "m1",
        "model_2": "m2",
        "g1_winner": first,
        "g2_winner": second,
        "judge": ["gpt-4", "pair-v2"],
        "g1_user_prompt": "…",
        "g1_judgment": f"Because.\n[[{letters[first]}]]",
        "g2_user_prompt": "…",
        "g2_judgment": f"Because.\n[[{swapped[second]}]]",
        "turn": turn,
        "tstamp": 1.5,
    }
    return record | columns


def single(number: int, score: Any, turn: int = 1, model: str = "m1", **columns: Any) -> dict[str, Any]:
    """Return a single record of FastChat's."""
    record = {
        "question_id": number,
        "model": model,
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": "…",
        "judgment": f"Because.\nRating: [[{score}]]",
        "score": score,
        "turn": turn,
        "tstamp": 1.5,
    }
    return record | columns


def shard(number: int, scores: dict[str, Any] | None, **columns: Any) -> dict[str, Any]:
    """Return a record of just-eval's."""
    parsed = None if scores is None else {name: {"reason": "Because.", "score": s} for name, s in scores.items()}
    record = {
        "id": number,
        "input": f"Question {number}?",
        "output_cand": "text" * number,
        "generator_cand": "results//tuned.json",
        "eval_config": {"mode": "score_multi", "gpt": "gpt-4-1106-preview", "max_words": -1},
        "prompt": "…",
        "result": "I can't." if parsed is None else json.dumps(parsed),
        "parsed_result": parsed,
    }
    return record | columns


def ours(item: str, *orders: tuple[str, float | None], **columns: Any) -> dict[str, Any]:
    """Return a record of our own about two answers; `orders` are who stood first and the preference."""
    record = {
        "kind": "pair",
        "item": item,
        "system": "tuned",
        "reference": "base",
        "judge": "judge",
        "tags": ["odd"],
        "lengths": [9, 4],
        "control": False,
        "identical": False,
        "empty": False,
        "orders": [
            {
                "first": first,
                "status": "unparsed" if preference is None else "ok",
                "why": "refused" if preference is None else "",
                "preference": preference,
                "scores": None,
                "text": "…",
            }
            for first, preference in orders
        ],
    }
    return record | columns


def save(path: Path, records: Any) -> str:
    """Write JSON lines for a name that ends in jsonl, else JSON; return the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    else:
        path.write_text(json.dumps(records, indent=1), "utf-8")
    return str(path)


def games(number: int, first: str, second: str | None) -> dict[str, Any]:
    """Return a record of arena-hard's; the baseline is A in the first game and B in the second."""
    played = [{"judgment": f"So [[{score}]]" if score else "Well.", "score": score} for score in (first, second)]
    return {"question_id": f"q{number}", "model": "m", "judge": "gpt-4", "games": played}


def preferred(number: int, choice: int) -> dict[str, Any]:
    """Return a record of PandaLM's test set."""
    texts = {"instruction": "Add.", "input": str(number), "response1": "one", "response2": "two!"}
    return {"idx": number, "cmp_key": "x_y", **texts, "annotator1": choice}


FILES = {
    "alpaca_eval": [("tuned.json", [annotation(i, p) for i, p in enumerate([1, 2, 1.5, None, 0, 2])])],
    "cherry": [
        (
            "vicuna.json",
            {
                "Meta_Info": {"dataset_name": "vicuna"},
                "data": [
                    review(i, a, b) for i, (a, b) in enumerate([((9, 8), (7, 9)), ((8, 8), (8, 9)), ((-1, -1), (8, 9))])
                ],
            },
        )
    ],
    "selfee": [
        ("x_vs_y.jsonl", [line(i, s) for i, s in enumerate([(9, 8), (8, 8), (7, 9)])]),
        ("y_vs_x.jsonl", [line(i, s, "y", "x") for i, s in enumerate([(8, 9), (8, 9), (9, 7)])]),
    ],
    "fastchat_pair": [
        (
            "gpt-4_pair.jsonl",
            [match(81, "model_1", "model_1"), match(81, "model_1", "model_2", 2), match(82, "tie", "model_2")],
        )
    ],
    "fastchat_single": [("gpt-4_single.jsonl", [single(81, 9), single(81, -1, 2), single(82, 7, model="m2")])],
    "arena_hard": [("m.jsonl", [games(i, *scores) for i, scores in enumerate([("B>A", "A>>B"), ("A=B", None)])])],
    "pandalm": [("testset.json", [preferred(i, choice) for i, choice in enumerate((1, 2, 0))])],
    "just_eval": [
        (
            "general.0-2.json",
            [shard(0, {"helpfulness": "5", "depth": "N/A"}), shard(1, {"helpfulness": "4", "depth": "2"})],
        ),
        ("general.2-3.json", [shard(2, None)]),
    ],
    "tunescope": [
        (
            "judgements.jsonl",
            [
                ours("1", ("system", 1), ("reference", 1)),
                ours("2", ("system", 1), ("reference", None)),
                ours("2", ("system", 1), control=True, system="base"),
            ],
        )
    ],
}
"""A few files of every format."""


def saved(folder: Path, name: str) -> list[str]:
    """Write the files of a format; return their names."""
    return [save(folder / file, records) for file, records in FILES[name]]
