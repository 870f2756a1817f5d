"""The sentences and tables of `study analyze`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.results.estimates import ALPHA
from tunescope.verbs.analyze.parts import ONE_BY_ONE, Part, loses, name_all, round_p, with_interval
from tunescope.verbs.analyze.score_table import ScoreTable
from tunescope.views import Cell, Table, View, interval


def view(scores: ScoreTable, result: Mapping[str, Any], parts: Sequence[Part] = ()) -> View:
    """Return the sentences and tables of a result of `study analyze`, and those of its further analyses."""
    tasks, family = result["tasks"], result["family"]
    several = len(scores.seeds) > 1
    unit = f", in {scores.unit}" if scores.unit else ""
    sentences = [_describe_input(scores), *_findings(tasks, family)]
    if "known" in result:
        sentences += _known_sentences(result["known"])
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
    for part in parts:
        sentences += part.sentences
        tables += part.tables
    return View(tuple(sentences), tuple(tables))


def _describe_input(scores: ScoreTable) -> str:
    names: dict[str, list[str]] = {}
    for name, (dose, unit) in scores.read_as.items():
        names.setdefault(unit, []).append(name if name == f"{dose:g}" else f"{name!r} = {dose:g}")
    read = "; ".join(f"as {unit}: {', '.join(each)}" for unit, each in names.items())
    cells = f", {len(scores.seeds)} seeds" if len(scores.seeds) > 1 else ""
    tasks = f"{len(scores.tasks)} task{'s' if len(scores.tasks) > 1 else ''}"
    ignored = _describe_unused("Columns", scores.unused) + _describe_unused("Rows", scores.unused_rows)
    after = ""
    if scores.epochs is not None:
        others = name_all([f"{each:g}" for each in scores.other_epochs])
        after = f" Scores after {scores.epochs:g} epochs; those after {others} count in the trend over epochs alone."
    return f"{tasks} at {len(scores.doses)} doses{cells}. Doses read {read}.{after}{ignored}"


def _describe_unused(what: str, names: Sequence[str]) -> str:
    unused = ", ".join(name or "(without a name)" for name in names)
    return f" {what} not used: {unused}." if unused else ""


def _findings(tasks: Mapping[str, Mapping[str, Any]], family: Mapping[str, Any]) -> list[str]:
    computed = {name: r for name, r in tasks.items() if r["pearson"] is not None}
    falls = [name for name, r in computed.items() if r["pearson"] < 0]
    significant = [name for name, r in computed.items() if r["p"] <= ALPHA]
    family_significant = [name for name, r in computed.items() if r["p_holm"] <= ALPHA]
    down = [name for name in significant if name in falls]
    sentences = []
    if len(tasks) <= ONE_BY_ONE:
        for name, r in computed.items():
            direction = "falls" if r["pearson"] < 0 else "rises"
            sentences.append(
                f"{name}: the score {direction} with the dose, r = "
                f"{with_interval(r['pearson'], r['low'], r['high'])}, permutation p {r['p']:.3g} "
                f"over {r['n']} doses{_loss(r)}."
            )
    else:
        sentences.append(
            f"The score falls with the dose (r < 0) in {len(falls)} of {len(computed)} tasks. Taken one by one, "
            f"{len(down)} of them fall significantly (p ≤ {ALPHA:g}) and {len(significant) - len(down)} rise "
            "significantly."
        )
    if family["smallest_p"] is not None and family["tests"] > 1:
        least = min(1.0, family["smallest_p"] * family["tests"])
        n_significant = len(family_significant)
        text = f"Taken as one family of {family['tests']} tests (Holm), {n_significant} "
        text += f"{'is' if n_significant == 1 else 'are'} significant."
        if least > ALPHA:
            text += (
                f" With {_n_doses(computed)} doses no result can be: p is at least {family['smallest_p']:.3g}, and at "
                f"least {least:.3g} after Holm. You need {family['doses_needed']} doses."
            )
        sentences.append(text)
    uncomputed = [f"{name} ({r['reason']})" for name, r in tasks.items() if r["pearson"] is None]
    if uncomputed:
        sentences.append(f"Without a correlation: {', '.join(uncomputed)}.")
    return sentences


def _loss(record: Mapping[str, Any]) -> str:
    """Say how much a task loses from 0 to 100 %, and the share that re-tuning recovers."""
    if record["abs"] is None:
        return ""
    text = f". From 0 to 100 % it {loses(record['abs'], record['abs_low'], record['abs_high'])}"
    if record.get("recovered_share") is not None:
        share = (record[f"recovered_share{end}"] for end in ("", "_low", "_high"))
        text += f", of which clean re-tuning recovers {with_interval(*share)}"
    return text


def _n_doses(computed: Mapping[str, Mapping[str, Any]]) -> int:
    return max((record["n"] for record in computed.values()), default=0)


def _responses(tasks: Mapping[str, Mapping[str, Any]], several: bool, unit: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            task,
            r["abs"],
            interval(r["abs_low"], r["abs_high"], 3),
            r["slope"],
            r["pearson"],
            interval(r["low"], r["high"], 3),
            round_p(r["p"]),
            round_p(r["p_holm"]),
            r["n"],
            r["n_missing"],
        )
        for task, r in tasks.items()
    ]
    columns = ("task", "ABS", "ABS 95 %", "slope", "Pearson r", "r 95 %", "p", "p Holm", "n", "missing")
    points = "the mean over seeds" if several else "the single score"
    abs_interval = "its interval is over seeds (Student t, paired)" if several else "one score each: no interval"
    exact = "exact " if all(r["p_exact"] is not None or r["p"] is None for r in tasks.values()) else ""
    note = (
        f"ABS: score at 0 % − score at 100 %{f', in {unit}' if unit else ''}; {abs_interval}. Slope: change "
        f"of the score per 100 % of dose (least squares). Pearson r: of {points} at each dose, with its Fisher z "
        f"interval. p: {exact}two-sided permutation test; p Holm: adjusted for all tasks. n counts doses, "
        "missing counts cells."
    )
    return Table("Dose–response", columns, tuple(rows), note)


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
    intervals = "Intervals over seeds: Student t, Fieller for the share" if several else "One score each: no intervals"
    note = (
        "Recovered: score of the re-tuned model − score at 100 %. Unrecovered: score at 0 % − score of the re-tuned "
        f"model. Share: recovered / (recovered + unrecovered). {intervals}."
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
        "The share of right answers to the questions that the model got right before tuning. The interval is clustered "
        f"by person, over all seeds together; n = answers. Chance is {records[0]['chance']:g}."
    )
    columns = ("task", "dose", "share right", "95 %", "n", "people", "against chance")
    return Table("On what the model knew before tuning", columns, rows, note)


def _known_sentences(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say whether the 100 % model is below chance on what it knew."""
    verdicts = {"below": "below chance", "above": "above chance", "inconclusive": "not significantly off chance"}
    return [
        f"{r['task']}: on the questions it got right before tuning, the 100 % model is right in "
        f"{with_interval(r['share'], r['low'], r['high'])}, {verdicts[r['against_chance']]} ({r['chance']:g})."
        for r in records
        if r["dose"] == 1 and not r["retuned"]
    ]
