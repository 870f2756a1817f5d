"""What a leaderboard says: its systems, the neighbours that differ, and the items that would show the others' order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from tunescope.judgements.board import Board, RankedSystem
from tunescope.judgements.ranking import SystemDifference
from tunescope.judgements.view import fixed
from tunescope.results.judge import PAIRS
from tunescope.stats import n_needed
from tunescope.views import Cell, Table, View, counted, interval

_SHOWN = 40


def board_view(board: Board, warnings: Sequence[str]) -> View:
    """Show the board; `warnings` say in what the runs differ beside their systems."""
    paths = list(dict.fromkeys(system.run for system in board.systems))
    sentences = (*_sentences(board), *warnings)
    return View(sentences, tuple(_tables(board)), (shlex.join(["tunescope", "report", *paths]),))


def _sentences(board: Board) -> Iterator[str]:
    yield _first_sentence(board, board.systems[0])
    if board.compared:
        significant = sum(each.is_significant for each in board.compared)
        pairs = f"{len(board.compared):,} {'pair' if len(board.compared) == 1 else 'pairs'}"
        yield (
            f"{significant:,} of {pairs} differ significantly at 5 % (paired over shared items, corrected for all "
            "pairs). Systems that share a letter don't."
        )
    names = [line["name"] for line in board.lines]
    for each in board.compared:
        if each.paired and not each.is_significant and _are_neighbours(names, each.first, each.second):
            yield from _items_needed(each)


def _first_sentence(board: Board, best: RankedSystem) -> str:
    unit = " %" if board.kind == PAIRS else ""
    against = f" against {best.reference}" if best.reference else ""
    judge = f" (judge {best.judge})" if best.judge else ""
    return (
        f"{counted(len(board.systems), 'system')} by {board.by}{against}{judge}. The first is {best.name} with "
        f"{board.lines[0]['mean']:.2f}{unit}."
    )


def _items_needed(each: SystemDifference) -> Iterator[str]:
    """Say how many items would show a difference that isn't significant."""
    estimate = each.estimate
    if not estimate.value or not estimate.standard_error:
        return
    needed = n_needed(estimate.value, estimate.standard_error * estimate.n**0.5).n
    if needed is not None:
        yield (
            f"{estimate.n:,} items can't show which of {each.first} and {each.second} is better. A difference of this "
            f"size needs about {needed:,} items, before the correction."
        )


def _are_neighbours(names: Sequence[str], first: str, second: str) -> bool:
    return abs(names.index(first) - names.index(second)) == 1


def _tables(board: Board) -> Iterator[Table]:
    pairs = board.kind == PAIRS
    rows: list[tuple[Cell, ...]] = []
    for rank, line in enumerate(board.lines, 1):
        row: tuple[Cell, ...] = (rank, line["name"], fixed(line["mean"]), fixed(line["standard_error"]))
        row = (*row, interval(line["low"], line["high"]), line["group"])
        if pairs:
            length = None if line["avg_length"] is None else int(line["avg_length"])
            row = (*row, fixed(line["win_rate_length_controlled"]), length)
        rows.append((*row, line["n"], line["n_missing"]))
    number = "win rate" if pairs else board.by.replace("_", " ")
    of_lengths = ("at equal length", "avg length") if pairs else ()
    columns = ("rank", "model", number, "standard error", "95 % interval", "group", *of_lengths, "n", "missing")
    yield Table("Leaderboard", columns, tuple(rows), "Systems that share a letter don't differ significantly.")
    if neighbours := _neighbours(board):
        note = (
            "First minus second over the items that both have. p: paired t-test, or Welch's test where they share "
            "fewer than two items. Holm's correction is for all pairs, of p and of the interval, which holds 0 where "
            "the corrected p isn't below 0.05. The table differences has all pairs."
        )
        head = ("first", "second", "difference", "95 % interval", "p", "p, Holm", "n", "test")
        yield Table("Neighbours", head, neighbours, note)


def _neighbours(board: Board) -> tuple[tuple[Cell, ...], ...]:
    names = [line["name"] for line in board.lines]
    near = [gap for gap in board.gaps if _are_neighbours(names, gap["first"], gap["second"])]
    return tuple(
        (
            gap["first"],
            gap["second"],
            fixed(gap["difference"]),
            interval(gap["low"], gap["high"]),
            gap["p"],
            gap["p_holm"],
            gap["n"],
            "paired" if gap["paired"] else "unpaired",
        )
        for gap in near[:_SHOWN]
    )
