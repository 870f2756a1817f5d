"""A verb against a server that misbehaves: the command in this process, in time that runs fast, and what came of it."""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.tools import read_rows, write_rows
from tunescope import cli
from tunescope.oracle.hostile.server import Server, serving
from tunescope.oracle.hostile.table import Behaviour

SPEED = 400
"""How many seconds of the event loop's pass in one of the clock's."""
KEY = "sk-planted/0123456789+abcdefgh"
"""Longer than 12 characters, with what JSON and URLs escape."""
N = 3
"""Rows, questions, and items of a judge."""


class _FastSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None or timeout <= 0 else timeout / SPEED)


class _FastLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock runs fast: waits for retries, deadlines and time-outs are short."""

    def __init__(self) -> None:
        super().__init__(_FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


class _FastPolicy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = _FastLoop


@contextmanager
def fast_time() -> Iterator[None]:
    """Let every event loop that is begun in the block run fast."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_FastPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


VERBS = {
    "reflect": "repair reflect rows.jsonl",
    "simplify": "repair simplify rows.jsonl",
    "rate": "repair rate rows.jsonl",
    "evolve": "repair evolve rows.jsonl",
    "pairwise": "judge pairwise one.jsonl base.jsonl --draws 100",
    "winrate": "judge winrate one.jsonl --reference base.jsonl --draws 100",
    "aspects": "judge aspects one.jsonl --aspects depth --aspects clarity",
    "answer": "answer questions.jsonl",
}
"""The verbs that ask, as they are typed."""


def write_inputs(folder: Path) -> None:
    """Write the rows, the answers of two systems, and the questions."""
    texts = [f"Question {i}?" for i in range(1, N + 1)]
    long = "It is said, at great length and with many words, that nobody knows it for sure, and so on and on. "
    write_rows(folder / "rows.jsonl", [{"instruction": t, "input": "", "output": f"{t} {long * 4}"} for t in texts])
    for name in ("one", "base"):
        records = [{"instruction": t, "output": f"{name} says: {t}", "generator": name} for t in texts]
        write_rows(folder / f"{name}.jsonl", records)
    write_rows(folder / "questions.jsonl", [{"question_id": i, "turns": [t]} for i, t in enumerate(texts)])


class Item(NamedTuple):
    """What came of one row, answer or verdict: a status, why, and the texts that it gave."""

    status: str
    reason: str
    texts: str


class Cell(NamedTuple):
    """What a command gave: exit code, what it printed, its items in order ([] without a finished run), and more.

    Attributes:
        info: run.json's content, {} without.
        calls: those that the server got.
    """

    code: int
    out: str
    err: str
    items: list[Item]
    info: dict[str, Any]
    calls: int


def run_cell(verb: str, behave: Behaviour, streams: Any, response_format: str = "tags", **known: Any) -> Cell:
    """Run a verb against a server with a behaviour, in the current folder; `streams` is pytest's capsys."""
    with serving(behave) as server:
        return run_at(server, verb, streams, response_format, **known)


def run_at(
    server: Server,
    verb: str,
    streams: Any,
    response_format: str = "tags",
    out: str = "run",
    seconds: float = 2.0,
    more: Sequence[str] = (),
) -> Cell:
    """Run a verb against a server that runs; `seconds` of the clock's is what a call may take."""
    where = ["--model" if verb == "answer" else "--oracle", server.url, "--served-model", "tiny", "--out", out]
    where += ["--timeout", f"{seconds * SPEED:g}"]
    formats = [] if verb == "answer" else ["--response-format", response_format, "--deadline", f"{10 * SPEED}"]
    before, run = sum(server.calls.values()), Path(out)
    code, printed, talk = type_in([*VERBS[verb].split(), *where, *formats, *more], streams)
    info = json.loads((run / "run.json").read_text("utf-8")) if (run / "run.json").exists() else {}
    n_calls = sum(server.calls.values()) - before
    return Cell(code, printed, talk, read_items(verb, run) if info else [], info, n_calls)


def type_in(arguments: list[str], streams: Any) -> tuple[int, str, str]:
    """Run a command in this process, in fast time; return its exit code and what it printed."""
    streams.readouterr()
    before = sys.stdout, sys.stderr
    try:
        with fast_time(), pytest.raises(SystemExit) as ended:
            cli.main(arguments)
    finally:
        sys.stdout, sys.stderr = before
    return int(ended.value.code or 0), *streams.readouterr()


_REPAIRS = {"ok": "kept", "truncated": "cut", "refused": "refused", "unparsed": "unread", "partial": "unread"}
_ROUNDS = {"held": "kept", "truncated": "cut", "refused": "refused", "sorry": "refused", "failed": "failed"}
_VERDICTS = {"failed": "failed", "truncated": "cut", "refused": "refused"}
_WHOLE = {"stop", "STOP", "end_turn"}


def read_items(verb: str, run: Path) -> list[Item]:
    """Read what came of each row, answer or verdict: kept, cut, refused, unread or failed."""
    if verb == "answer":
        return _answers(run)
    if verb in ("pairwise", "winrate"):
        return [_pair(record) for record in read_rows(run / "judgements.jsonl")]
    if verb == "aspects":
        return [_grade(record) for record in read_rows(run / "judgements.jsonl")]
    table = pq.read_table(run / "repairs.parquet").to_pylist()
    records = read_rows(run / "rows.jsonl")
    return [
        Item(_repaired(verb, row), str(row["reason"]), json.dumps(record))
        for row, record in zip(table, records, strict=True)
    ]


def _answers(run: Path) -> list[Item]:
    found = {}
    for record in read_rows(run / "answers.jsonl"):
        status = "kept" if record["finish_reason"] in _WHOLE else "cut"
        found[record["prompt_id"]] = Item(status, str(record["finish_reason"]), record["text"])
    if (run / "missing.jsonl").exists():
        for record in read_rows(run / "missing.jsonl"):
            reason = record["reason"]
            status = "refused" if "content filter" in reason or "declines" in reason else "failed"
            found[record["prompt_id"]] = Item(status, reason, "")
    return [found[name] for name in sorted(found)]


def _repaired(verb: str, row: dict[str, Any]) -> str:
    if row["status"] is None:
        return "failed" if row["reason"].startswith("failed:") else "not asked"
    if verb == "evolve":
        return _ROUNDS.get(row["outcomes"].split(", ")[-1], "unread")
    if verb == "reflect":
        stages = {_REPAIRS.get(row[f"{stage}_status"], "failed") for stage in ("instruction", "response")}
        return stages.pop() if len(stages) == 1 else "failed" if "failed" in stages else "mixed"
    return _REPAIRS[row["status"]]


def _pair(record: dict[str, Any]) -> Item:
    orders = record["orders"]
    statuses = {"kept" if each["status"] == "ok" else _VERDICTS.get(each["why"], "unread") for each in orders}
    said = [(each["first"], each["preference"], each["scores"]) for each in orders]
    reasons = "; ".join(str(each.get("failed") or each["why"]) for each in orders)
    return Item(statuses.pop() if len(statuses) == 1 else "mixed", reasons, json.dumps(said))


def _grade(record: dict[str, Any]) -> Item:
    status = "kept" if record["status"] == "ok" else _VERDICTS.get(record["why"], "unread")
    return Item(status, str(record.get("failed") or record["why"]), json.dumps(record["scores"]))


def secrets_in(folder: Path, *streams: str) -> list[str]:
    """Return where the key is, in whatever encoding: names of files and numbers of streams."""
    forms = {KEY, KEY.replace("/", "\\/"), KEY.replace("+", "\\u002B"), quote(KEY, safe=""), json.dumps(KEY)[1:-1]}
    forms |= {KEY.replace("/", "\\/").replace("+", "\\u002B"), KEY.replace("+", "\\u002b")}
    found = [f"stream {n}" for n, text in enumerate(streams) if any(form in text for form in forms)]
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [str(path)] if any(form.encode() in data for form in forms) else []
    return found
