"""What `study analyze` says to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.verbs.analyze.scores import Scores
from tunescope.views import Cell, Table, View, interval

ALPHA = 0.05
ONE_BY_ONE = 4
"""Tasks up to which each has its own sentence."""


def view(scores: Scores, result: Mapping[str, Any]) -> View:
    """Return the sentences and tables of a result of `study analyze`."""
    tasks, family = result["tasks"], result["family"]
    several = len(scores.seeds) > 1
    unit = f", in {scores.unit}" if scores.unit else ""
    sentences = [_read(scores)]
    if scores.unused:
        sentences.append(f"Columns not used: {', '.join(name or '(without a name)' for name in scores.unused)}.")
    sentences += _findings(tasks, family)
    if "known" in result:
        sentences += _lies(result["known"])
    columns = ["task", *(f"{100 * dose:g} %" for dose in scores.doses)]
    rows = [(task, *(cell["mean"] for cell in record["scores"])) for task, record in tasks.items()]
    note = f"The score at each dose{unit}" + (f": the mean over {len(scores.seeds)} seeds." if several else ".")
    tables = [Table("Scores", tuple(columns), tuple(rows), note), _responses(tasks, several, scores.unit)]
    if several:
        tables.append(_spread(tasks))
    if any("recovered" in record for record in tasks.values()):
        tables.append(_recovered(tasks, several))
    if "known" in result:
        tables.append(_known(result["known"]))
    return View(tuple(sentences), tuple(tables))


def _read(scores: Scores) -> str:
    ways: dict[str, list[str]] = {}
    for name, (dose, how) in scores.read_as.items():
        ways.setdefault(how, []).append(name if name == f"{dose:g}" else f"{name!r} = {dose:g}")
    read = "; ".join(f"as {how}: {', '.join(names)}" for how, names in ways.items())
    cells = f", {len(scores.seeds)} seeds" if len(scores.seeds) > 1 else ""
    tasks = f"{len(scores.tasks)} task{'s' if len(scores.tasks) > 1 else ''}"
    return f"{tasks} at {len(scores.doses)} doses{cells}. Doses read {read}."


def _findings(tasks: Mapping[str, Mapping[str, Any]], family: Mapping[str, Any]) -> list[str]:
    told = {name: r for name, r in tasks.items() if r["pearson"] is not None}
    falls = [name for name, r in told.items() if r["pearson"] < 0]
    shown = [name for name, r in told.items() if r["p"] <= ALPHA]
    held = [name for name, r in told.items() if r["p_holm"] <= ALPHA]
    down = [name for name in shown if name in falls]
    sentences = []
    if len(tasks) <= ONE_BY_ONE:
        for name, r in told.items():
            way = "falls" if r["pearson"] < 0 else "rises"
            sentences.append(
                f"{name}: the score {way} with the dose, r = {_with(r['pearson'], r['low'], r['high'])}, permutation p "
                f"{r['p']:.3g} over {r['n']} doses{_lost(r)}."
            )
    else:
        sentences.append(
            f"The score falls with the dose (r < 0) in {len(falls)} of {len(told)} tasks; with p at most {ALPHA:g}, "
            f"each task by itself, in {len(down)} (and rises in {len(shown) - len(down)})."
        )
    if family["smallest_p"] is not None and family["tests"] > 1:
        least = min(1.0, family["smallest_p"] * family["tests"])
        text = f"Taken as one family of {family['tests']} (Holm), {len(held)} hold."
        if least > ALPHA:
            text += (
                f" They couldn't: no p of {_doses_of(told)} doses is below {family['smallest_p']:.3g}, so none is "
                f"below {least:.3g} after Holm; it takes {family['doses_needed']} doses."
            )
        sentences.append(text)
    silent = [f"{name} ({r['reason']})" for name, r in tasks.items() if r["pearson"] is None]
    if silent:
        sentences.append(f"Without a correlation: {', '.join(silent)}.")
    return sentences


def _lost(record: Mapping[str, Any]) -> str:
    """Say what a task lost from 0 to 100 %, and what re-tuning brought back."""
    if record["abs"] is None:
        return ""
    text = f"; from 0 to 100 % it loses {_with(record['abs'], record['abs_low'], record['abs_high'])}"
    if record.get("recovered_share") is not None:
        share = (record[f"recovered_share{end}"] for end in ("", "_low", "_high"))
        text += f", of which clean re-tuning brings back {_with(*share)}"
    return text


def _with(value: float, low: float | None, high: float | None) -> str:
    """Write a number, and its interval where there is one."""
    return f"{value:.3f}" + (f" {interval(low, high, 3)}" if low is not None else "")


def _doses_of(told: Mapping[str, Mapping[str, Any]]) -> int:
    return max((record["n"] for record in told.values()), default=0)


def _responses(tasks: Mapping[str, Mapping[str, Any]], several: bool, unit: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            task,
            r["abs"],
            interval(r["abs_low"], r["abs_high"], 3),
            r["slope"],
            r["pearson"],
            interval(r["low"], r["high"], 3),
            _p(r["p"]),
            _p(r["p_holm"]),
            r["n"],
            r["n_missing"],
        )
        for task, r in tasks.items()
    ]
    columns = ("task", "ABS", "ABS 95 %", "slope", "Pearson r", "r 95 %", "p", "p Holm", "n", "missing")
    over = "of the means over seeds" if several else "of the single score"
    exact = all(r["p_exact"] is not None or r["p"] is None for r in tasks.values())
    note = (
        f"ABS = score at 0 % − score at 100 %{f', in {unit}' if unit else ''}"
        + (" (mean over seeds, Student t over seeds, paired by seed)" if several else " (one score: no interval)")
        + f"; slope = change of the score per 100 % of dose, least squares; Pearson r {over} at each dose, its Fisher "
        f"z interval and its {'exact ' if exact else ''}two-sided permutation p, also adjusted for all tasks (Holm); "
        "n = doses, missing = cells."
    )
    return Table("Dose–response", columns, tuple(rows), note)


def _p(p: float | None) -> Cell:
    return None if p is None else float(f"{p:.3g}")


def _spread(tasks: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = tuple(
        (task, f"{100 * cell['dose']:g} %", cell["mean"], interval(cell["low"], cell["high"], 3), cell["n"])
        for task, record in tasks.items()
        for cell in record["scores"]
    )
    every = "; ".join(
        f"{task}: r = {r['pearson_all']:.3f} {interval(r['pearson_all_low'], r['pearson_all_high'], 3)}, n = "
        f"{r['pearson_all_n']}, p {r['p_all']:.3g}"
        for task, r in tasks.items()
        if r["pearson_all"] is not None
    )
    note = "Mean over seeds with its Student t interval; n = seeds." + (
        f" Over every single score: {every}." if every else ""
    )
    return Table("Over seeds", ("task", "dose", "score", "95 %", "n"), rows, note)


def _recovered(tasks: Mapping[str, Mapping[str, Any]], several: bool) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for task, r in tasks.items():
        if "recovered" not in r:
            continue
        cells: list[Cell] = [task]
        for name in ("recovered", "unrecovered", "recovered_share"):
            cells += [r[name], interval(r[f"{name}_low"], r[f"{name}_high"], 3)]
        rows.append((*cells, r["recovered_n"], r.get("recovered_share_reason")))
    note = (
        "Recovered = score of the re-tuned model − score at 100 %; unrecovered = score at 0 % − score of the re-tuned "
        "model; share = recovered / (recovered + unrecovered)"
        + (
            ", intervals over seeds (Student t; Fieller for the share)."
            if several
            else "; one score each: no interval."
        )
    )
    columns: tuple[str, ...] = (
        "task",
        "recovered",
        "rec. 95 %",
        "unrecovered",
        "unrec. 95 %",
        "share",
        "share 95 %",
        "n",
        "why not",
    )
    if all(row[-1] is None for row in rows):
        return Table("Clean re-tuning of the 100 % model", columns[:-1], tuple(row[:-1] for row in rows), note)
    return Table("Clean re-tuning of the 100 % model", columns, tuple(rows), note)


def _known(records: Sequence[Mapping[str, Any]]) -> Table:
    rows = tuple(
        (
            r["task"],
            "re-tuned" if r["retuned"] else f"{100 * r['dose']:g} %",
            r["share"],
            interval(r["low"], r["high"], 3),
            r["n"],
            r["n_people"],
            r["against_chance"],
        )
        for r in records
    )
    note = (
        "Share right of the questions that the model got right before tuning. The interval is clustered by person "
        f"(CR1, t), over all seeds together; n = answers. Chance is {records[0]['chance']:g}."
    )
    columns = ("task", "dose", "share right", "95 %", "n", "people", "against chance")
    return Table("On what the model knew before tuning", columns, rows, note)


def _lies(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the 100 % model is below chance on what it knew."""
    says = {"below": "below chance", "above": "above chance", "not told": "not told from chance"}
    return [
        f"{r['task']}: on what it knew before tuning, the 100 % model is right in "
        f"{_with(r['share'], r['low'], r['high'])}: {says[r['against_chance']]} ({r['chance']:g})."
        for r in records
        if r["dose"] == 1 and not r["retuned"]
    ]
