"""What `bench` shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from tunescope.results.bench import BenchResult, BenchScore, ScoreSpread
from tunescope.results.code import CodeScore
from tunescope.settings import as_option
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.bench.tasks.catalogue import Suite
from tunescope.views import Table, View, counted, interval, shorten, show

_NAME = 40
"""Characters of a name in a sentence."""
_READING = {
    "packed": "The shared beginning of prompts was read only once.",
    "padded": "This model can't read a shared beginning only once: each text was read whole, several at a time.",
    "single": "This model can't read several texts at once: each was read whole, one at a time.",
    "whole": "This model can't read several texts at once: each was read whole, one at a time.",
}


def show_scores(settings: BenchSettings, suite: Suite, result: BenchResult, run: Path) -> View:
    """Show the scores, their means, what is missing, and what the scores depend on."""
    by_name = {use.name: result.tasks[use.label] for use in suite.uses if use.label in result.tasks}  # each once
    asked = sum(task.n for task in by_name.values())
    drawn = "the same for all questions of a task" if settings.exemplars == "fixed" else "drawn for each question"
    exemplars = f", exemplars {drawn}" if any(task.shots for task in result.tasks.values()) else ""
    but_code = " but for code" if result.code else ""
    template = f", in the chat template{but_code}" if settings.chat and result.reading else ""
    sentences = [
        f"{shorten(result.model, _NAME)} on {shorten(suite.name, _NAME)}: {counted(len(result.tasks), 'task')}, "
        f"{counted(asked, 'item')}{exemplars}{template}. "
        f"{_READING.get(result.reading or '', '')}".rstrip()
    ]
    if result.parity is not None:
        checked = f"{counted(settings.parity_check, 'request')} of each task, or all where it has fewer,"
        sentences.append(f"{checked} agree with lm-eval's own code to {result.parity:.1g} nats.")
    sentences += [f"{shorten(label, _NAME)} is missing: {reason}." for label, reason in result.missing.items()]
    n_cut = sum(task.n_cut for task in by_name.values())
    if n_cut:
        sentences.append(f"{counted(n_cut, 'prompt')} had to be cut to fit into the context.")
    sentences += [_code_sentence(name, score) for name, score in result.code.items()]
    tables = [_scores(result.tasks)]
    if len(result.tasks) > 1:
        tables.append(_means(result))
    if result.spread:
        sentences += _spread_sentences(result.spread)
        tables.append(_spread(result.spread))
    here = shlex.quote(str(run))
    following = [f"tunescope compare {here} OTHER_BENCH_RUN"]
    if not result.spread:
        following.insert(0, f"tunescope bench {_arguments(settings)} --spread")
    return View(tuple(sentences), tuple(tables), tuple(following))


def _code_sentence(name: str, code: CodeScore) -> str:
    """Say how programs were written and run: a score without that says little."""
    ends = ", ".join(f"{count:,} {status}" for status, count in code.statuses.items())
    sentence = (
        f"{name}: {code.samples} programs a problem at temperature {code.temperature:g} and top_p {code.top_p:g}, each "
        f"with {code.seconds:g} s for its tests: {ends or 'none'}. {code.protection}"
    )
    if not code.missing:
        return sentence
    problem, reason = next(iter(code.missing.items()))
    return (
        f"{sentence} {counted(len(code.missing), 'problem')} didn't fit into the context, such as {problem}: {reason}."
    )


def _arguments(settings: BenchSettings) -> str:
    """Return what was asked, as it is typed."""
    words = [*settings.questions, "--model", settings.model]
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.name in ("questions", "model", "out") or value == each.default:
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [word for one in values for word in (as_option(each.name), *(() if one is True else (str(one),)))]
    return shlex.join(words)


def _scores(tasks: Mapping[str, BenchScore]) -> Table:
    rows = tuple(
        (
            name,
            each.metric,
            each.shots,
            each.score,
            interval(each.low, each.high, 3),
            each.n,
            each.n_missing,
            each.chance,
        )
        for name, each in tasks.items()
    )
    others = dict.fromkeys(t.metric for t in tasks.values() if t.score is not None and not 0 <= t.score <= 1)
    but = f" (but {', '.join(others)})" if others else ""
    note = (
        f"Scores run from 0 to 1{but}, by the metric as lm-eval defines it. The interval is over the items: other "
        "items of the same kind. chance: what guessing gives."
    )
    columns = ("task", "metric", "exemplars", "score", "95 %", "n", "missing", "chance")
    return Table("Scores", columns, rows, note)


def _means(result: BenchResult) -> Table:
    rows = tuple(
        (name, mean.mean, mean.n_tasks, ", ".join(mean.missing) or "none") for name, mean in result.means.items()
    )
    note = "The mean of the tasks' scores, each task counted once. There is none where a task is missing."
    return Table("Means", ("of", "mean", "tasks", "missing"), rows, note)


def _spread(spread: Mapping[str, ScoreSpread]) -> Table:
    rows = tuple(
        (
            name,
            each.mean,
            interval(each.low, each.high, 3),
            each.lowest,
            each.highest,
            each.template,
            each.exemplars,
            each.n,
        )
        for name, each in spread.items()
    )
    note = (
        "mean: over exemplar seeds with and without the chat template. template: the mean with it less that without. "
        "exemplars: the standard deviation over seeds."
    )
    columns = ("task", "mean", "95 % over items", "lowest", "highest", "template", "exemplars", "n")
    return Table("What the scores depend on", columns, rows, note)


def _spread_sentences(spread: Mapping[str, ScoreSpread]) -> Sequence[str]:
    """Say where a score moves most by a choice that says nothing about the model."""
    known = {
        name: (each.highest - each.lowest, each)
        for name, each in spread.items()
        if each.highest is not None and each.lowest is not None
    }
    if not known:
        return ()
    name, (apart, each) = max(known.items(), key=lambda item: item[1][0])
    return (
        f"The same model scores between {show(each.lowest)} and {show(each.highest)} on {shorten(name, _NAME)}, by "
        f"template and exemplars alone: {100 * apart:.1f} points.",
    )
