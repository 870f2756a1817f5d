"""What `check` says to a person."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tunescope.results.check import SURELY_WRONG, BenchmarkCounts, CheckResult, find_selection
from tunescope.rows import RowSet
from tunescope.runs import Run, RunFolder, finished_runs
from tunescope.settings import as_cli_args, as_option
from tunescope.stats import Estimate, proportion_from_counts
from tunescope.text.near_duplicates import candidate_probability
from tunescope.verbs.check.joined import JoinedRows
from tunescope.verbs.check.settings import CheckSettings
from tunescope.views import Table, View, counted, interval, percent, rejected_sentence

_EXAMPLES = 2
"""Rows shown per fault."""
_RowsByFault = Mapping[str, Sequence[int]]
"""A fault's name → the positions of the rows that have it."""


def build_view(
    settings: CheckSettings,
    joined: JoinedRows,
    result: CheckResult,
    rows_by_fault: _RowsByFault,
    meanings: Mapping[str, str],
    folder: RunFolder,
    rows: RowSet,
) -> View:
    """Return the summary, the tables of faults and benchmarks, and the commands that act on the faults."""
    tables: list[Table] = []
    if any(rows_by_fault.values()):
        tables.append(_fault_table(settings, result, rows_by_fault, meanings))
        examples = tuple(_examples(joined, rows_by_fault))
        tables.append(Table("First of each", ("fault", "row id", "place", "found"), examples))
    if result.benchmarks is not None:
        tables.append(_benchmark_table(result.benchmarks))
    commands = tuple(_next_commands(settings, result, rows_by_fault, joined, folder))
    return View(tuple(_sentences(result, rows_by_fault, rows)), tuple(tables), commands)


def _sentences(result: CheckResult, rows_by_fault: _RowsByFault, rows: RowSet) -> Iterator[str]:
    formats = ", ".join(dict.fromkeys(f"{file.layout.format} in {file.container}" for file in rows.files))
    share = proportion_from_counts(result.faulty_rows, result.rows)
    yield (
        f"{counted(result.rows, 'row')} ({formats}): {result.faulty_rows:,} ({percent(share.value, 1)}) "
        f"{'has' if result.faulty_rows == 1 else 'have'} at least "
        f"one of the {len(rows_by_fault)} faults that check looks for."
    )
    if result.faulty_rows:
        yield _grades_sentence(result.surely_wrong_rows, result.faulty_rows - result.surely_wrong_rows)
    if result.rows_in_characters:
        yield (
            f"{counted(result.rows_in_characters, 'row')} {'has' if result.rows_in_characters == 1 else 'have'} text "
            "in scripts without spaces between words. Each of its characters counts as a word, and one_word_answer and "
            "very_long aren't looked for there."
        )
    if result.rejected:
        yield rejected_sentence(result.rejected)


def _grades_sentence(sure: int, to_look_at: int) -> str:
    """Say how many of the faulty rows are surely wrong, and that a person decides about the others."""
    if not sure:
        return "None of them is surely wrong. Look at them before you drop any."
    wrong = f"{sure:,} of them {'is' if sure == 1 else 'are'} surely wrong."
    return f"{wrong} Look at the other {to_look_at:,} before you drop any." if to_look_at else wrong


def _fault_table(
    settings: CheckSettings, result: CheckResult, rows_by_fault: _RowsByFault, meanings: Mapping[str, str]
) -> Table:
    lines = []
    for fault, count in result.faults.items():
        if count:
            share = proportion_from_counts(count, result.rows)
            sure = result.surely_wrong[fault]
            lines.append((fault, count, sure, percent(share.value), _interval(share), meanings[fault]))
    absent = ", ".join(fault for fault, positions in rows_by_fault.items() if not positions)
    threshold = settings.near_duplicate_at
    note = (
        "Each share has its Wilson 95 % interval, which takes the rows as a sample of their source. "
        + (f"No row has: {absent}. " if absent else "")
        + f"Banding finds a pair of similarity {threshold} with probability {candidate_probability(threshold):.4f}, "
        "and the exact Jaccard similarity then decides."
    )
    return Table("Faults", ("fault", "rows", "surely wrong", "share", "95 % interval", "meaning"), tuple(lines), note)


def _interval(share: Estimate) -> str:
    if share.low is None or share.high is None:
        return interval(None, None)
    return f"{100 * share.low:.2f} to {100 * share.high:.2f} %"


def _examples(joined: JoinedRows, rows_by_fault: _RowsByFault) -> Iterator[tuple[str, str, str, str]]:
    """Yield fault, row id, place and detail of the first rows of each fault."""
    chosen = {(fault, row) for fault, positions in rows_by_fault.items() for row in positions[:_EXAMPLES]}
    details = {
        (item.fault, item.position): item.detail
        for item in reversed(joined.faults)
        if (item.fault, item.position) in chosen
    }
    for fault, positions in rows_by_fault.items():
        for row in dict.fromkeys(positions[:_EXAMPLES]):
            place = f"line {joined.lines[row]}"
            if len(joined.files) > 1:
                place = f"{joined.files[joined.file_numbers[row]]}, {place}"
            yield fault, joined.ids[row], place, details[fault, row]


def _benchmark_table(benchmarks: Sequence[BenchmarkCounts]) -> Table:
    lines = tuple(tuple(each.as_json().values()) for each in benchmarks if each.items_in_rows)
    n_others = len(benchmarks) - len(lines)
    note = (
        f"{n_others:,} other {'file shares' if n_others == 1 else 'files share'} nothing with the rows. An item is too "
        "short if none of its texts has 8 words. Nothing can be said about such items."
    )
    return Table("Benchmarks", ("file", "items", "too short", "items found in rows"), lines, note)


def _next_commands(
    settings: CheckSettings, result: CheckResult, rows_by_fault: _RowsByFault, joined: JoinedRows, folder: RunFolder
) -> Iterator[str]:
    """Yield the commands that drop what is surely wrong, show what is to be looked at, and explain the first row."""
    faults = [fault for fault, positions in rows_by_fault.items() if positions]
    if not faults:
        return
    source = as_cli_args(settings.rows, settings.format, settings.columns, settings.on_bad)
    if result.surely_wrong_rows:
        yield f"tunescope select {source} --from {shlex.quote(str(folder.path))} --where '{SURELY_WRONG} = false'"
    for fault in faults:
        if result.faults[fault] > result.surely_wrong[fault]:
            yield f"tunescope check {source}{_other_options(settings)} --show {fault}"
    if folder.is_under_runs_root:
        yield f"tunescope why {joined.ids[rows_by_fault[faults[0]][0]]}"


def _other_options(settings: CheckSettings) -> str:
    """Return the options that make another run of a check, as they were typed."""
    words = [word for name in settings.against for word in ("--against", name)]
    for name in ("max_words", "near_duplicate_at", "out"):
        value = getattr(settings, name)
        if value != CheckSettings.__dataclass_fields__[name].default:
            words += [as_option(name), str(value)]
    return "".join(f" {shlex.quote(word)}" for word in words)


def without_what_is_done(run: Run) -> Run:
    """Return the run without the command that drops rows, where a finished run has done that."""
    selection = find_selection(run, finished_runs())
    if selection is None:
        return run
    rows = selection.path / selection.result["files"]["kept"]
    done = f"What is surely wrong is dropped already: {rows} has the other rows."
    commands = tuple(command for command in run.view.next if not command.startswith("tunescope select "))
    return run.showing(replace(run.view, sentences=(*run.view.sentences, done), next=commands))
