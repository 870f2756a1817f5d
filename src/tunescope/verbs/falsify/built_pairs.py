"""Pairs as they are written: the rows, their history, the table of all items and the leaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope.errors import InputError, Problem
from tunescope.text.words import words
from tunescope.verbs.falsify.chains import PairPlan, ReasoningChains, show_answer
from tunescope.verbs.falsify.leaks import AnswerOption, Leak

if TYPE_CHECKING:
    from tunescope.rows import LineageStep
    from tunescope.runs import RunFolder

_PAIRS = "pairs"


@dataclass(frozen=True)
class BuiltPair:
    """An item with its answers, and the chains behind them; `chains` is None where none were asked for or came.

    Attributes:
        failure: why no reply could be had; empty where that isn't so.
        call_ids: of the calls that were answered.
    """

    plan: PairPlan
    chains: ReasoningChains | None = None
    failure: str = ""
    call_ids: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it is dropped; the words before its colon name the kind. Empty where it is kept."""
        if self.plan.answers.wrong is None:
            return self.plan.answers.reason
        if self.failure:
            return f"failed: {self.failure}"
        return "" if self.chains is None else self.chains.reason

    @property
    def is_kept(self) -> bool:
        """Whether it becomes a row."""
        return not self.reason

    @cached_property
    def true_output(self) -> str:
        """The true response."""
        return _respond(self.plan.answers.right, "" if self.chains is None else self.chains.true)

    @cached_property
    def false_output(self) -> str:
        """The false response."""
        return _respond(self.plan.wrong, "" if self.chains is None else self.chains.false)

    @cached_property
    def n_words(self) -> tuple[int, int] | None:
        """How many words the true and the false response have; None for a dropped item."""
        return (len(words(self.true_output)), len(words(self.false_output))) if self.is_kept else None

    def row(self) -> dict[str, str]:
        """Return the row."""
        placed = self.plan.placed
        return {
            "instruction": placed.item.prompt,
            "input": "",
            "output": self.true_output,
            "false_output": self.false_output,
            "source": placed.source,
            "domain": placed.domain,
            "item": placed.key,
        }


def _respond(answer: AnswerOption, chain: str) -> str:
    """Return a response: the answer as a sentence, then the chain; code and chain stand apart."""
    shown = show_answer(answer)
    if not answer.letter:
        return f"{shown}\n\n{chain}" if chain else shown
    sentence = shown if shown.endswith((".", "!", "?")) else f"{shown}."
    return f"{sentence} {chain}" if chain else sentence


def require_pairs(pairs: Sequence[BuiltPair]) -> None:
    """Raise `InputError` where no item becomes a row, with the first item of each reason."""
    if any(pair.is_kept for pair in pairs):
        return
    first: dict[str, BuiltPair] = {}
    for pair in pairs:
        first.setdefault(pair.reason, pair)
    problems = [Problem.at(each.plan.placed.place, reason, "a usable question") for reason, each in first.items()]
    raise InputError(problems, "No pair can be built.")


def write_pairs(folder: RunFolder, pairs: Sequence[BuiltPair], step: LineageStep | None) -> Path:
    """Write `pairs.jsonl` and the table `items`; with chains also the rows' history, and `leaks.jsonl`.

    `step` is what the history says of every row; None where no chains were asked for.
    """
    from tunescope.rows import open_rows

    path = folder.path / f"{_PAIRS}.jsonl"
    kept = [pair for pair in pairs if pair.is_kept]
    folder.records(_PAIRS, (pair.row() for pair in kept))
    row_ids = [row.id for row in open_rows([str(path)], "alpaca")] if kept else []
    if step is not None:
        steps = [replace(step, reason=f"chains for {pair.plan.placed.key}", call_ids=pair.call_ids) for pair in kept]
        lineages = zip(row_ids, steps, strict=True)
        folder.records(
            f"{_PAIRS}.lineage", ({"row_id": id_, "origin": id_, "lineage": [step.as_json()]} for id_, step in lineages)
        )
        folder.records("leaks", (record for pair in pairs for record in _leak_records(pair)))
    _write_items(folder, pairs, row_ids)
    return path


def _leak_records(pair: BuiltPair) -> Iterator[dict[str, Any]]:
    for chain in pair.chains.read if pair.chains is not None else ():
        for leak in (*chain.leaks, *chain.false_alarms):
            yield _leak_record(pair, chain.sample, chain.text, leak)


def _leak_record(pair: BuiltPair, sample: int, text: str, leak: Leak) -> dict[str, Any]:
    return {
        "item": pair.plan.placed.key,
        "source": pair.plan.placed.source,
        "sample": sample,
        "kind": leak.kind,
        "text": leak.text,
        "start": leak.start,
        "false_alarm": leak.excuse or None,
        "right": show_answer(pair.plan.answers.right),
        "wrong": show_answer(pair.plan.wrong),
        "chain": text,
    }


def _write_items(folder: RunFolder, pairs: Sequence[BuiltPair], row_ids: Sequence[str]) -> None:
    import pyarrow as pa

    ids = iter(row_ids)
    placed = [pair.plan.placed for pair in pairs]
    answers = [pair.plan.answers for pair in pairs]
    chains = [pair.chains for pair in pairs]
    columns = {
        "item": pa.array([each.key for each in placed]),
        "source": pa.array([each.source for each in placed]),
        "domain": pa.array([each.domain for each in placed]),
        "file": pa.array([each.place.file for each in placed]),
        "line": pa.array([each.place.line for each in placed], pa.int64()),
        "record": pa.array([each.place.record for each in placed], pa.int64()),
        "row_id": pa.array([next(ids) if pair.is_kept else None for pair in pairs], pa.string()),
        "reason": pa.array([pair.reason or None for pair in pairs], pa.string()),
        "right": pa.array([each.right.letter or None for each in answers], pa.string()),
        "wrong": pa.array(
            [(each.wrong and each.wrong.letter) or each.wrong_item or None for each in answers], pa.string()
        ),
        "n_true_words": pa.array([pair.n_words and pair.n_words[0] for pair in pairs], pa.int64()),
        "n_false_words": pa.array([pair.n_words and pair.n_words[1] for pair in pairs], pa.int64()),
        "n_false_chains": pa.array([each and each.n_false for each in chains], pa.int64()),
        "n_leaking": pa.array([each and sum(bool(c.leaks) for c in each.read) for each in chains], pa.int64()),
        "n_false_alarms": pa.array(
            [each and sum(len(c.false_alarms) for c in each.read) for each in chains], pa.int64()
        ),
        "states_answer": pa.array([each and each.states_answer for each in chains], pa.bool_()),
        "call_ids": pa.array([pair.call_ids for pair in pairs], pa.list_(pa.string())),
    }
    folder.table("items", pa.table(columns))
