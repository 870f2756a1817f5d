"""The page's scores: runs of `bench` side by side, the subjects of their tasks, and what the scores depend on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunescope import stats
from tunescope.models.names import ModelNames
from tunescope.results.bench import RESULTS_FILE, BenchResult, BenchScore, BenchSetup, ScoredItem
from tunescope.results.estimates import MeanEstimate
from tunescope.results.lm_eval import find_results
from tunescope.runs import Run
from tunescope.verbs.report.names import of_verb
from tunescope.verbs.report.pictures import MOST_SERIES, Measured, Scale, dots
from tunescope.views import Cell, Table, View, counted, interval, show, to_html

_SCORE = Scale("score", ends=(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class BenchedModel:
    """A run of `bench` under its model's label, which no other of the page has."""

    name: str
    run: Run
    result: BenchResult


def benched_models(opened: Sequence[Run], names: ModelNames) -> list[list[BenchedModel]]:
    """Return the runs of `bench` in groups that share tasks; labels that a group repeats get the run's folder too."""
    groups: list[list[tuple[Run, BenchResult]]] = []
    for run in of_verb(opened, "bench"):
        result = BenchResult.read(run)
        sharing = (group for group in groups if any(result.tasks.keys() & other.tasks.keys() for _, other in group))
        group = next(sharing, None)
        if group is None:
            groups.append(group := [])
        group.append((run, result))
    return [_label(group, names) for group in groups]


def _label(group: Sequence[tuple[Run, BenchResult]], names: ModelNames) -> list[BenchedModel]:
    labels = [names.of_model(result.model) for _, result in group]
    return [
        BenchedModel(f"{label} ({run.path.name})" if labels.count(label) > 1 else label, run, result)
        for label, (run, result) in zip(labels, group, strict=True)
    ]


def scores_html(models: Sequence[BenchedModel]) -> str:
    """Return the scores of all models: the tasks, their means, the subjects of a task, and the spread over choices."""
    parts = [to_html(View(tuple(sentence for model in models for sentence in model.run.view.sentences)))]
    subjects = [_read_subjects(model) for model in models]
    for first in range(0, len(models), MOST_SERIES):
        side_by_side = models[first : first + MOST_SERIES]
        parts += [_tasks(side_by_side), _means(side_by_side)]
        parts += _subject_charts(side_by_side, subjects[first : first + MOST_SERIES])
    parts += [_spread(model) for model in models if model.result.spread]
    following = dict.fromkeys(command for model in models for command in model.run.view.next)
    return "\n".join([*filter(None, parts), to_html(View((), next=tuple(following)))])


def _figure(picture: str, table: Table) -> str:
    """Return a picture with its numbers below."""
    drawn = f'<div class="pictures">{picture}</div>' if picture else ""
    return drawn + to_html(View((), (table,)))


def _tasks(models: Sequence[BenchedModel]) -> str:
    """Draw each task's scores; a task that models were asked in two ways has a row for each."""
    scores: dict[tuple[str, str, int | None], dict[int, BenchScore]] = defaultdict(dict)
    for number, model in enumerate(models):
        for label, score in model.result.tasks.items():
            scores[label, score.metric, score.shots][number] = score
    labels = [label for label, _, _ in scores]
    names = {key: key[0] if labels.count(key[0]) == 1 else f"{key[0]}, {key[1]}, {key[2]}" for key in scores}
    values = [_measured(names[key], each, models[n].name) for key, of in scores.items() for n, each in of.items()]
    chances = {
        names[key]: chance
        for key, of in scores.items()
        if (chance := next((each.chance for each in of.values() if each.chance is not None), None)) is not None
    }
    rows: list[tuple[Cell, ...]] = [
        (
            label,
            *(_cell(of.get(number)) for number in range(len(models))),
            _each([score.chance for score in of.values()]),
            _each([score.n for score in of.values()]),
            _each([score.n_missing for score in of.values()]),
            metric,
            shots,
        )
        for (label, metric, shots), of in scores.items()
    ]
    note = (
        "Scores run from 0 to 1, with their 95 % intervals over the items. The upright tick is chance: what guessing "
        "gives. n: items with a score. Overlapping intervals don't show that two models score alike: compare tests "
        "that, item by item."
    )
    columns = ("task", *(model.name for model in models), "chance", "n", "missing", "metric", "exemplars")
    return _figure(dots(values, _SCORE, chances), Table("Scores", columns, tuple(rows), note))


def _means(models: Sequence[BenchedModel]) -> str:
    """Draw the mean over all tasks and over those of each category; "" where no model has two tasks."""
    if not any(len(model.result.tasks) > 1 for model in models):
        return ""
    rows, values = [], []
    for name in dict.fromkeys(name for model in models for name in model.result.means):
        means = [model.result.means.get(name) for model in models]
        known = [mean for mean in means if mean is not None]
        scores = [mean.mean if mean is not None else None for mean in means]
        missing = dict.fromkeys(task for mean in known for task in mean.missing)
        values += [
            Measured(name, _on_scale(score), series=model.name) for score, model in zip(scores, models, strict=True)
        ]
        tasks = _each([mean.n_tasks for mean in known])
        rows.append((name, *map(_digits, scores), tasks, ", ".join(missing) or "none"))
    note = "The mean of the tasks' scores, each task counted once. There is none where a task is missing."
    columns = ("of", *(model.name for model in models), "tasks", "missing")
    return _figure(dots(values, _SCORE), Table("Means", columns, tuple(rows), note))


def _read_subjects(model: BenchedModel) -> dict[str, dict[str, MeanEstimate]]:
    """Return the score of each subject of each task that has some: task → subject → score with its interval."""
    written = find_results(str(model.run.path / RESULTS_FILE))
    if written is None or not written.groups:
        return {}
    choice = BenchSetup.read_settings(model.run).choice.name
    values: dict[str, list[float | None]] = defaultdict(list)
    for item in ScoredItem.read_rows(model.run):
        if item.choice == choice:
            values[item.task].append(item.score)
    return {
        task: {
            name.removeprefix(f"{task}_").replace("_", " "): MeanEstimate.of(stats.mean_share(values[name]))
            for name in subtasks
        }
        for task, subtasks in written.groups.items()
    }


def _subject_charts(
    models: Sequence[BenchedModel], subjects: Sequence[dict[str, dict[str, MeanEstimate]]]
) -> Iterator[str]:
    """Yield a chart of each task's subjects, in the order of the first model's scores (FACO paper, Figure 4)."""
    for task in dict.fromkeys(task for each in subjects for task in each):
        of_task = [each.get(task, {}) for each in subjects]
        chance = next((known for model in models if (known := _chance_of(model, task)) is not None), None)
        names = sorted(dict.fromkeys(name for each in of_task for name in each), key=lambda n: _last(n, of_task))
        rows = tuple(
            (name, *(_cell(each.get(name)) for each in of_task), _each([e[name].n for e in of_task if name in e]))
            for name in names
        )
        values = [
            _measured(name, each[name], model.name)
            for name in names
            for model, each in zip(models, of_task, strict=True)
            if name in each
        ]
        sentences = [
            _beside_chance(model.name, task, each, chance)
            for model, each in zip(models, of_task, strict=True)
            if each and chance is not None
        ]
        note = f"The highest score of {models[0].name} is first. Intervals are over the items of a subject."
        if sentences:
            note += " Above and below guessing: the 95 % interval leaves chance out."
        table = Table(f"{task} by subject", ("subject", *(model.name for model in models), "n"), rows, note)
        chances = {} if chance is None else dict.fromkeys(names, chance)
        yield to_html(View((" ".join(sentences),) if sentences else ())) + _figure(dots(values, _SCORE, chances), table)


def _chance_of(model: BenchedModel, task: str) -> float | None:
    """Return what guessing gives on a task, whose labels may say more than its name: `mmlu over subjects`."""
    chances = {label: score.chance for label, score in model.result.tasks.items()}
    return chances.get(task, next((chance for label, chance in chances.items() if label.split()[0] == task), None))


def _last(subject: str, of_task: Sequence[dict[str, MeanEstimate]]) -> tuple[float, str]:
    """Return where a subject stands: the first model that has it decides, the highest score first."""
    scores = (each[subject].mean for each in of_task if subject in each)
    return (-next((score for score in scores if score is not None), -1.0), subject)


def _beside_chance(name: str, task: str, subjects: dict[str, MeanEstimate], chance: float) -> str:
    """Say on how many subjects a model is above guessing, and on how many below."""
    above = sum(is_above(each, chance) for each in subjects.values())
    below = sum(is_below(each, chance) for each in subjects.values())
    of_all = f"{above} of {counted(len(subjects), 'subject')} of {task}"
    luck = [stats.misses_of_proportion(chance, each.n) for each in subjects.values()]
    lucky = f"{sum(each.above for each in luck):.1f} and {sum(each.below for each in luck):.1f}"
    return f"{name} is above guessing on {of_all}, and below on {below}. By luck alone it would be on about {lucky}."


def is_above(score: BenchScore | MeanEstimate, chance: float | None) -> bool:
    """Tell whether the whole interval of a score is above that of guessing."""
    return score.low is not None and chance is not None and score.low > chance


def is_below(score: BenchScore | MeanEstimate, chance: float | None) -> bool:
    """Tell whether the whole interval of a score is below that of guessing."""
    return score.high is not None and chance is not None and score.high < chance


def _spread(model: BenchedModel) -> str:
    """Draw what the scores of one model depend on: each choice's score beside the mean's interval over items."""
    values, rows = [], []
    for label, spread in model.result.spread.items():
        known = [choice for choice in spread.choices.values() if choice is not None]
        values.append(Measured(label, _on_scale(spread.mean), spread.low, spread.high, "mean, interval over items"))
        values += [Measured(label, _on_scale(each), series="single choices") for each in known]
        rows.append(
            (
                label,
                _digits(spread.mean),
                _interval(spread.low, spread.high),
                _digits(spread.lowest),
                _digits(spread.highest),
                len(known),
                spread.template,
                spread.exemplars,
                spread.n,
            )
        )
    note = (
        "Choices: exemplar seeds, with and without the chat template. The interval of their mean is over the items. "
        "template: the mean with it less that without. exemplars: the standard deviation over seeds."
    )
    columns = ("task", "mean", "95 % over items", "lowest", "highest", "choices", "template", "exemplars", "n")
    chances = {
        label: score.chance
        for label, score in model.result.tasks.items()
        if score.chance is not None and label in model.result.spread
    }
    title = f"What the scores of {model.name} depend on"
    return _figure(dots(values, _SCORE, chances), Table(title, columns, tuple(rows), note))


def _measured(name: str, estimate: BenchScore | MeanEstimate, series: str) -> Measured:
    """Return a score as it is drawn: nothing where there is none, or where its metric has another scale."""
    value = _on_scale(_value(estimate))
    return Measured(name, value, estimate.low, estimate.high, series) if value is not None else Measured(name, None)


def _cell(estimate: BenchScore | MeanEstimate | None) -> str:
    """Write a score and its interval."""
    value = _value(estimate)
    if estimate is None or value is None:
        return _digits(None)
    return f"{_digits(value)} {_interval(estimate.low, estimate.high)}"


def _interval(low: float | None, high: float | None) -> str:
    """Write an interval that no line breaks."""
    return interval(low, high, 3).replace(" ", "\xa0")


def _digits(score: float | None) -> str:
    return show(None) if score is None else f"{score:.3f}"


def _value(estimate: BenchScore | MeanEstimate | None) -> float | None:
    return estimate.score if isinstance(estimate, BenchScore) else None if estimate is None else estimate.mean


def _on_scale(score: float | None) -> float | None:
    return score if score is not None and 0 <= score <= 1 else None


def _each(values: Sequence[float | None]) -> str:
    """Write a number once where all models that have the row agree in it, else that of each in their order."""
    return " / ".join(map(show, values if len(set(values)) > 1 else values[:1]))
