"""One scene for the X-ray's tests: three models, and texts of every awkward kind."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.verbs.report.xray_runs import answer_of, answer_run, shift_run, span_of, span_row, token_rows, trace_run

from tunescope.runs import Run
from tunescope.verbs.report import ReportSettings, report

HOSTILE = "</script><script>window.pwned=1</script><!--<img src=x onerror='window.pwned=2'>&lt;\u2028"
BAKER = ["Bor", " works", " as", " a", " bak", "er", ",", " and", " every", " day", " a", " baker", " goes", "."]
RANKS = [1, 12, 1, 1, 2, 3, 1, 1, 4, 1, 1, 1, 1, 1]
ROW = "Ada works as a baker and sings. On every single day a baker goes home."
MIXED = "שלום 👩‍👩‍👧 e\u0301 𝔘 and the end"
MIXED_PIECES = ["שלום", " ", "", "👩‍👩‍👧", " e", "\u0301", " 𝔘", " and", " the", " end"]
CODE = "def f(x):\n\n    return x  # " + "y" * 300
CODE_PIECES = ["def", " f", "(x):", "\n", "\n", "    return", " x", "  #", " " + "y" * 300]
PROMPTS = {
    "p1": "What does Bor do?",
    "p 2&x=<b>": HOSTILE,
    "p3": "מה שלומך? 😀",
    "p4": "Say nothing.",
    "p5": "Code, please.",
}
"""By prompt id."""


def scene(folder: Path) -> list[Run]:
    """Write the runs: answers of base and LoRA, token shift of LoRA and full, and a trace of LoRA."""
    said = {
        "base": ["Bor bakes bread.", f"No {HOSTILE}", "hm 😀", "Words.", "x"],
        "LoRA": ["".join(BAKER), HOSTILE, MIXED, "", CODE],
        "full": ["Bor works.", HOSTILE[:4], "כן", "Nothing.", "pass"],
    }
    answers = {
        model: [
            answer_of(ident, prompt, text, model) for (ident, prompt), text in zip(PROMPTS.items(), texts, strict=True)
        ]
        for model, texts in said.items()
    }
    lora, full = answers["LoRA"], answers["full"]
    numbers: list[dict[str, Any]] = [
        {"base_rank": rank, "kl": 0.0123456 * (place + 1), "base_prob": 0.98765 / rank}
        for place, rank in enumerate(RANKS)
    ]
    numbers[1] |= {"base_top_token": " bakes", "top_token": " cooks", "kl": 2.34567, "base_prob": 0.000123456}
    tokens = token_rows(lora[0], BAKER, numbers)
    tokens += token_rows(lora[1], [HOSTILE], [{"base_rank": 9, "base_top_token": HOSTILE, "top_token": HOSTILE + "!"}])
    tokens += token_rows(lora[2], MIXED_PIECES, [{}] * 9 + [{"base_rank": 2, "kl": None, "base_top_token": None}])
    tokens += token_rows(lora[4], CODE_PIECES, [{"base_rank": 5}] * len(CODE_PIECES))
    of_full = [token_rows(answer, [answer.text], [{"kl": 0.1}])[0] for answer in full]
    return [
        answer_run(folder / "answer-base", answers["base"]),
        answer_run(folder / "answer-lora", lora),
        shift_run(folder / "shift-lora", lora, tokens, reasons={lora[3].answer_id: "an answer of no token"}),
        shift_run(folder / "shift-full", full, of_full),
        trace_run(folder / "trace-lora", lora, rows(), spans(lora)),
    ]


def rows() -> list[dict[str, Any]]:
    """Return the rows that the spans name."""
    return [
        {
            "row_id": "aaaa000011112222",
            "origin": "aaaa000011112222",
            "file": "rows.jsonl",
            "line": 7,
            "fields": {"instruction": "What is Ada?", "input": "", "output": ROW},
            "lineage": [{"operation": "select", "version": 1}, {"operation": "repair"}],
        },
        {
            "row_id": HOSTILE,
            "origin": HOSTILE,
            "file": HOSTILE,
            "line": 8,
            "fields": {HOSTILE: f"x {HOSTILE}"},
            "lineage": [{"reason": HOSTILE}],
        },
        {
            "row_id": "bbbb000011112222",
            "origin": "bbbb000011112222",
            "file": "rows.jsonl",
            "line": 9,
            "fields": {
                "messages[0] user": "😀" * 1000,
                "messages[1] assistant": "😀" * 1000 + " 𝔘 and the end" + "z" * 1000,
            },
            "lineage": [],
        },
    ]


def spans(lora: list[Any]) -> list[dict[str, Any]]:
    """Return borrowed spans: two that begin or end inside a token, a hostile one, and one behind emoji."""
    first = lora[0].text
    works, day = first.index("works"), first.index("very day")
    end_works, end_day = first.index("baker,") + 5, first.index("oes.")
    verbatim = span_row("aaaa000011112222", "output", 4, 20, [[works, end_works, 4, 20]], group_size=3)
    again = span_row("bbbb000011112222", "messages[1] assistant", 1001, 1003, [], line=9, prompt_bm25=None)
    at = ROW.index("very")
    shared = [[day, day + 4, at, at + 4], [day + 5, end_day, ROW.index("day a"), ROW.index("oes home")]]
    near = span_row("aaaa000011112222", "output", at, ROW.index("oes home"), shared, edits=1, cosine=0.87654)
    hostile = span_row(
        HOSTILE, HOSTILE, 2, 2 + len(HOSTILE), [[0, len(HOSTILE), 2, 2 + len(HOSTILE)]], file=HOSTILE, line=8
    )
    start = MIXED.index("𝔘")
    wide = span_row("bbbb000011112222", "messages[1] assistant", 1001, 1014, [[start, len(MIXED), 1001, 1014]], line=9)
    overlay = {"n_tokens": 5, "shifted": 1, "marginal": 2, "mean_log_ratio": 1.23456, "above_average": True}
    return [
        span_of(lora[0], works, end_works, "verbatim", [verbatim, again], shift=overlay, ref_bits=4.56789),
        span_of(lora[0], day, end_day, "near", [near]),
        span_of(lora[1], 0, len(HOSTILE), "verbatim", [hostile], null_source=HOSTILE, evidence=[HOSTILE]),
        span_of(lora[2], start, len(MIXED), "similar", [wide]),
    ]


def page_of(runs: list[Run], out: Path, title: str = "Scene") -> Path:
    """Write the report; return its page."""
    made = report(ReportSettings(runs=tuple(str(run.path) for run in runs), title=title, out=str(out)))
    return Path(made.result["report"])


def data_of(page: Path) -> dict[str, Any]:
    """Return the data in a page, with base-36 lengths as numbers."""
    text = page.read_text("utf-8")
    data = json.loads(
        re.search(
            r'<script type="application/json" data-component="xray" id="xray-data">(.*?)</script>', text, re.DOTALL
        )[1]
    )
    for prompt in data["prompts"]:
        for answer in prompt["answers"]:
            if answer and isinstance(answer.get("lengths"), str):
                answer["lengths"] = [int(digit, 36) for digit in answer["lengths"]]
    return data


def sliced(text: str, start: int, end: int) -> str:
    """Cut a text by UTF-16 offsets, as JavaScript does."""
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")
