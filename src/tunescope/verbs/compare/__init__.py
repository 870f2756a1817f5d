"""`compare`: what differs between two row sets, sets of answers, runs of `measure` or of a judge, pair by pair.

Of a run of `trace` and other answers: which of its spans are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope import pairing, runs
from tunescope.answers import ANSWERS_FILE
from tunescope.errors import RunError, SettingsError
from tunescope.judgements.comparable import setup_differences
from tunescope.pairing import Pairing
from tunescope.results.compare import CompareResult, NumberComparison
from tunescope.results.estimates import MeanEstimate
from tunescope.results.measure import MeasuredTurn, MeasureResult
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, as_cli_args
from tunescope.views import Cell, Table, View, interval

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.judgements.runs import Judged
    from tunescope.rows import Row

VERSION = 2
SHOWN = 5
_LARGEST = 1e100
"""A source column's numbers from here on count as missing: no mean of them can be told."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """Compare two row sets, answer sets, measures or judgements: added, removed, changed, and every shared number."""

    a: str = field(metadata={**INPUT, **POSITIONAL})
    """Before: rows, a run with them, answers, AlpacaEval outputs, or a run of measure, trace (spans) or judge."""

    b: str = field(metadata={**INPUT, **POSITIONAL})
    """What it is now: the same kind of thing; for a trace run, other answers to the same prompts."""

    key: str | None = None
    """A column that names the same row in both, for rows whose origin isn't known."""

    format: str | None = None
    """Read both as alpaca, messages, sharegpt or prompt_completion; recognised by default."""

    columns: tuple[str, ...] = ()
    """What columns are called in both, as WORD=COLUMN, for example instruction=question."""

    seed: int = 0
    """Seed of the bootstrap and the permutation test."""

    out: str | None = runs.out_field()
    """The run folder; runs/compare-KEY by default."""


class Item(NamedTuple):
    """A row or an answer, as far as comparing goes."""

    id: str
    content: Hashable
    keys: dict[str, Hashable]
    numbers: dict[str, float | None]
    before: str
    text: str
    file: str = ""
    line: int = 0


class Side(NamedTuple):
    """A or B: what kind of thing it is, where it lies, its content hash, how to read it, and whose (model or judge).

    `run` is a judge's.
    """

    kind: str
    path: str
    hash: str
    items: Callable[[], Iterable[Item]]
    model: str = ""
    run: Run | None = None


def compare(settings: CompareSettings) -> Run:
    """Pair the items of A and B; return the run with the table `pairs`.

    Rows are paired by origin, else by `key`, else by identical instruction; answers by prompt id,
    else by identical prompt; judgements by system and item, else, where both runs judge one system,
    by item. `pairs` has a_id, b_id, paired_by, state (same, changed, added or removed), of rows the
    file and line on both sides, and every shared number as NAME_a, NAME_b.

    Raises:
        InputError, RunError: what can't be read.
        SettingsError: two different kinds of thing.
    """
    a, b = (_open(settings, name) for name in (settings.a, settings.b))
    traced = Run(Path(settings.a)) if (Path(settings.a) / "run.json").is_file() else None
    if traced is not None and traced.verb == "trace" and b.kind == "answers":
        from tunescope.verbs.compare.spans import compare_spans

        return compare_spans(settings, traced, Path(b.path), b.hash)
    if a.kind != b.kind:
        raise SettingsError(
            f"A ({settings.a}) holds {a.kind} and B ({settings.b}) holds {b.kind}; compare like with like"
        )
    inputs = {f"a {settings.a}": a.hash, f"b {settings.b}": b.hash}
    return runs.execute("compare", VERSION, settings, inputs, partial(_work, settings, a, b))


def _open(settings: CompareSettings, name: str) -> Side:
    from tunescope.rows import find_run_rows, open_rows

    path = Path(name)
    if (path / "run.json").is_file():
        run = Run(path)
        answers = path / ANSWERS_FILE
        if answers.is_file():
            from tunescope.answers import read_answers

            return Side("answers", str(answers), run.key, lambda: map(_answer_item, read_answers(answers)))
        if MeasuredTurn.NAME in run.tables:
            model = MeasureResult.read(run).model or "no model"
            return Side("turns", name, run.key, lambda: starmap(_turn_item, MeasuredTurn.read_measures(run)), model)
        if run.verb.startswith("judge ") and ("items" in run.tables or "scores" in run.tables):
            from tunescope.judgements.runs import judges, read_judgements

            return Side("judgements", name, run.key, lambda: map(_judged_item, read_judgements(run)), judges(run), run)
        rows_file = find_run_rows(path)
        if rows_file is None:
            raise RunError(
                f"{path} is a run of {run.verb}, which holds no rows, answers, measures or judgements to compare"
            )
        name = str(rows_file)
    elif settings.format is None and not settings.columns:
        from tunescope.answers import holds_answers, read_answers
        from tunescope.rows.containers import content_hash

        if holds_answers(path):
            return Side("answers", name, content_hash(path), lambda: map(_answer_item, read_answers(path)))
    rows = open_rows([name], settings.format, settings.columns)
    item = _row_item if settings.key is None else partial(_keyed, settings.key)
    return Side("rows", name, "".join(rows.inputs.values()), lambda: map(item, rows))


def _row_item(row: Row) -> Item:
    from tunescope.text.words import words

    numbers: dict[str, float | None] = {
        "instruction_words": len(words(row.instruction)),
        "response_words": len(words(row.response)),
        "turns": sum(1 for _ in row.turns()),
    }
    for name, value in row.fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in numbers:
            numbers[name] = float(value) if abs(value) < _LARGEST else None
    keys: dict[str, Hashable] = {"origin": row.origin, "instruction": row.instruction}
    content = row.id.partition(".")[0]
    return Item(row.id, content, keys, numbers, row.instruction, row.response, row.file, row.line)


def _keyed(key: str, row: Row) -> Item:
    if key not in row.fields:
        raise SettingsError(f"--key {key}: {row.file} line {row.line} has the columns {', '.join(row.fields)}")
    item = _row_item(row)
    item.keys["key"] = repr(row.fields[key])
    return item


def _answer_item(answer: Answer) -> Item:
    from tunescope.text.words import words

    numbers: dict[str, float | None] = {
        "answer_words": len(words(answer.text)),
        "answer_tokens": None if answer.token_ids is None else len(answer.token_ids),
    }
    prompt = (answer.prompt, answer.turn, answer.sample)
    keys: dict[str, Hashable] = {"prompt_id": answer.place, "prompt": prompt}
    return Item(answer.answer_id, answer.text, keys, numbers, answer.prompt, answer.text)


def _turn_item(turn: MeasuredTurn, measures: Mapping[str, Any]) -> Item:
    """Make an item of a measured turn; what isn't measured of it has no numbers."""
    numbers = {name: value for name, value in measures.items() if not isinstance(value, bool)}
    keys: dict[str, Hashable] = {"origin": (turn.origin, turn.turn)}
    content = turn.row_id.partition(".")[0]
    return Item(f"{turn.row_id}#{turn.turn}", content, keys, numbers, "", "")


def _judged_item(judged: Judged) -> Item:
    keys: dict[str, Hashable] = {"system": (*judged.who, judged.item)}
    if judged.alone:
        keys["item"] = judged.item
    content = tuple(judged.verdicts.items())
    numbers = {**judged.verdicts, **judged.lengths}
    return Item(" ".join([*judged.who, judged.item]), content, keys, numbers, "", "")


WAYS = {
    "rows": ("origin", "key", "instruction"),
    "answers": ("prompt_id", "prompt"),
    "turns": ("origin",),
    "judgements": ("system", "item"),
}
"""How items of each kind are paired, the first that finds a partner."""


def pair(a: Sequence[Item], b: Sequence[Item], ways: Sequence[str]) -> Pairing[Item]:
    """Pair items that agree on the first of their keys that finds a partner; repeats pair in file order."""
    return pairing.pair_up(a, b, {way: partial(_key, way) for way in ways})


def _key(way: str, item: Item) -> Hashable | None:
    return item.keys.get(way)


def _work(settings: CompareSettings, a: Side, b: Side, folder: RunFolder) -> Outcome:
    items_a, items_b = list(a.items()), list(b.items())
    ways = WAYS[a.kind]
    paired = pair(items_a, items_b, ways)
    changed = [(x, y, way) for x, y, way in paired.pairs if x.content != y.content]
    measures = _shared_numbers(items_a, items_b)
    _write(folder, paired, measures, with_places=a.kind == "rows")
    summary = {name: _summarise(name, items_a, items_b, paired.pairs, settings.seed) for name in measures}
    turns, judged = a.kind == "turns", a.kind == "judgements"
    sides = {name: side.run for name, side in (("A", a), ("B", b)) if side.run is not None}
    result = CompareResult(
        kind=a.kind,
        a=len(items_a),
        b=len(items_b),
        same=len(paired.pairs) - len(changed),
        changed=len(changed),
        removed=len(paired.only_a),
        added=len(paired.only_b),
        paired_by={way: sum(1 for *_, how in paired.pairs if how == way) for way in ways},
        summary=summary,
        word_overlap=_word_overlap(paired.pairs) if a.kind == "answers" else None,
        models={"a": a.model, "b": b.model} if turns else None,
        medians={name: _medians(name, items_a, items_b) for name in measures} if turns else None,
        judges={"a": a.model, "b": b.model} if judged else None,
        setup_differences=tuple(setup_differences(sides)) if judged else None,
    )
    next_steps = tuple(_next(settings, b, paired, folder))
    return Outcome(result.as_json(), _view(result, paired, changed, next_steps))


def _shared_numbers(a: Sequence[Item], b: Sequence[Item]) -> list[str]:
    """Return the names of numbers that both sides have."""
    names_a, names_b = ({name: None for item in items for name in item.numbers} for items in (a, b))
    return [name for name in names_a if name in names_b]


def _write(folder: RunFolder, paired: Pairing[Item], measures: Sequence[str], with_places: bool) -> None:
    import pyarrow as pa

    rows: list[tuple[Item | None, Item | None, str | None, str]] = [
        *((x, y, way, "same" if x.content == y.content else "changed") for x, y, way in paired.pairs),
        *((x, None, None, "removed") for x in paired.only_a),
        *((None, y, None, "added") for y in paired.only_b),
    ]
    columns: dict[str, Any] = {
        "a_id": pa.array([x.id if x else None for x, _, _, _ in rows], pa.string()),
        "b_id": pa.array([y.id if y else None for _, y, _, _ in rows], pa.string()),
        "paired_by": pa.array([way for _, _, way, _ in rows], pa.string()),
        "state": pa.array([state for *_, state in rows], pa.string()),
    }
    for side, items in (("a", [x for x, *_ in rows]), ("b", [y for _, y, *_ in rows])) if with_places else ():
        columns[f"{side}_file"] = pa.array([item.file if item else None for item in items], pa.string())
        columns[f"{side}_line"] = pa.array([item.line if item else None for item in items], pa.int64())
    for name in measures:
        columns[f"{name}_a"] = pa.array([x.numbers.get(name) if x else None for x, *_ in rows], pa.float64())
        columns[f"{name}_b"] = pa.array([y.numbers.get(name) if y else None for _, y, *_ in rows], pa.float64())
    folder.table("pairs", pa.table(columns))


def _summarise(
    name: str, a: Sequence[Item], b: Sequence[Item], pairs: Sequence[tuple[Item, Item, str]], seed: int
) -> NumberComparison:
    from tunescope.stats import mean_t, n_needed, paired_difference, unpaired_difference

    difference = paired_difference(
        [y.numbers.get(name) for _, y, _ in pairs], [x.numbers.get(name) for x, _, _ in pairs], seed=seed
    )
    all_a, all_b = [x.numbers.get(name) for x in a], [y.numbers.get(name) for y in b]
    mean, error = difference.t.value, difference.t.standard_error
    low, high = difference.bootstrap.low, difference.bootstrap.high
    needed: int | None = 0
    if mean and error and low is not None and high is not None and low <= 0 <= high:
        needed = n_needed(mean, error * difference.t.n**0.5).n
    return NumberComparison(
        a=MeanEstimate.of(mean_t(all_a)),
        b=MeanEstimate.of(mean_t(all_b)),
        unpaired_difference=MeanEstimate.of(unpaired_difference(all_b, all_a, draws=100).t),  # Welch's draws nothing
        difference=MeanEstimate.of(difference.bootstrap),
        p=difference.test.p,
        test=difference.test.method,
        n_needed=needed,
    )


def _medians(name: str, a: Sequence[Item], b: Sequence[Item]) -> dict[str, Any]:
    """Return both sides' medians: means of perplexities hang on a few short texts."""
    from tunescope.stats import median_bootstrap

    sides = {"a": a, "b": b}
    return {
        side: median_bootstrap([i.numbers.get(name) for i in items]).as_json("median") for side, items in sides.items()
    }


def _word_overlap(pairs: Sequence[tuple[Item, Item, str]]) -> MeanEstimate:
    """Return the mean Jaccard similarity of the two answers' sets of words."""
    from tunescope.stats import mean_bootstrap
    from tunescope.text.words import words

    sets = [(set(words(x.text)), set(words(y.text))) for x, y, _ in pairs]
    return MeanEstimate.of(mean_bootstrap([len(x & y) / len(x | y) if x | y else None for x, y in sets]))


def _view(
    result: CompareResult,
    paired: Pairing[Item],
    changed: Sequence[tuple[Item, Item, str]],
    next_steps: tuple[str, ...],
) -> View:
    ways = ", ".join(f"{count:,} by {way}" for way, count in result.paired_by.items() if count) or "none"
    what = result.kind
    sentences = [
        f"A has {result.a:,} {what}, B has {result.b:,}: {len(paired.pairs):,} paired ({ways}), of which "
        f"{result.same:,} are the same and {result.changed:,} changed; {result.removed:,} only in A "
        f"(removed), {result.added:,} only in B (added)."
    ]
    models = result.models
    if models:
        by = models["a"] if models["a"] == models["b"] else f"{models['a']} (A) and {models['b']} (B)"
        sentences.append(f"Perplexities and IFD by {by}.")
    judged = result.judges
    if judged:
        by = judged["a"] if judged["a"] == judged["b"] else f"{judged['a']} (A) and {judged['b']} (B)"
        sentences += [f"Judged by {by}.", *(result.setup_differences or ())]
    overlap = result.word_overlap
    if overlap and overlap.mean is not None:
        sentences.append(
            f"Paired answers share {100 * overlap.mean:.0f} % of their words "
            f"(mean Jaccard, bootstrap 95 % interval {interval(overlap.low, overlap.high)}, n = {overlap.n})."
        )
    sides = tuple(_side_line(name, record) for name, record in result.summary.items())
    rows = tuple(_number_line(name, record) for name, record in result.summary.items())
    tables = []
    if rows:
        note = "Means over all items of each side, and the difference of these means with its Welch 95 % interval."
        tables.append(Table("All items", ("number", "A", "B", "B − A", "95 % interval"), sides, note))
        if result.medians is not None:
            tables.append(_median_table(result.medians))
        note = (
            "The mean difference over pairs, with its percentile-bootstrap 95 % interval (10,000 draws) and the p of a "
            "paired sign-flip test. Pairs needed: where the interval holds 0, how many pairs would show the observed "
            "difference (power 0.8, two-sided 5 %)."
        )
        columns = ("number", "B − A", "95 % interval", "p", "n", "missing", "pairs needed")
        if paired.pairs:
            tables.append(Table("Pairs", columns, rows, note))
    examples = tuple((x.id, y.id, _cut(x.before), _cut(x.text), _cut(y.text)) for x, y, _ in changed[:SHOWN] if x.text)
    if examples:
        tables.append(Table("First changed", ("A id", "B id", "instruction", "A says", "B says"), examples))
    return View(tuple(sentences), tuple(tables), next_steps)


def _side_line(name: str, record: NumberComparison) -> tuple[Cell, ...]:
    difference = record.unpaired_difference
    shown = interval(difference.low, difference.high)
    return name, record.a.mean, record.b.mean, difference.mean, shown


def _median_table(medians: dict[str, dict[str, Any]]) -> Table:
    cells = [
        (name, *(cell for m in sides.values() for cell in (m["median"], interval(m["low"], m["high"]))))
        for name, sides in medians.items()
    ]
    columns = ("number", "A", "95 % interval", "B", "95 % interval")
    return Table("Medians", columns, tuple(cells), "Percentile-bootstrap intervals.")


def _number_line(name: str, record: NumberComparison) -> tuple[Cell, ...]:
    difference = record.difference
    return (
        name,
        difference.mean,
        interval(difference.low, difference.high),
        record.p,
        difference.n,
        difference.n_missing,
        record.n_needed or None,
    )


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _next(settings: CompareSettings, b: Side, paired: Pairing[Item], folder: RunFolder) -> Iterator[str]:
    gone = paired.only_a[:1] or [x for x, y, _ in paired.pairs if x.content != y.content][:1]
    if b.kind == "rows" and gone and folder.is_under_runs_root:
        yield f"tunescope why {gone[0].id}"
    if b.kind == "rows" and paired.only_b:
        yield f"tunescope check {as_cli_args([b.path], settings.format, settings.columns)}"
