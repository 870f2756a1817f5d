"""What is compared: rows, answers, measured turns or judgements, as items with keys and numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import starmap
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.answers import ANSWERS_FILE
from tunescope.errors import RunError, SettingsError
from tunescope.judgements.runs import describe_judges, holds_judgements, read_judgements
from tunescope.locations import Location
from tunescope.pairing import Pairing, pair_up
from tunescope.results.measure import MeasuredTurn, MeasureResult, measure_bounds
from tunescope.runs import Run

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.judgements.runs import JudgedItem
    from tunescope.rows import Row
    from tunescope.verbs.compare.settings import CompareSettings

PAIRING_KEYS: Mapping[str, Sequence[str]] = {
    "rows": ("origin", "key", "instruction"),
    "answers": ("prompt_id", "prompt"),
    "turns": ("origin",),
    "judgements": ("system", "item"),
}
"""The keys that items of each kind are paired by: the first key that finds a partner counts."""
_COUNTS = dict.fromkeys(
    ("instruction_words", "response_words", "turns", "rejected_words", "answer_words", "answer_tokens"), (0.0, inf)
)
_LARGEST = 1e100
"""Numbers of a source column from here on count as missing: they have no mean."""


class ComparedItem(NamedTuple):
    """A row, an answer, a measured turn or a judgement.

    Attributes:
        content: what must be equal for two paired items to be the same.
        keys: what items are paired by, by the key's name.
        numbers: what is compared; None is missing.
        prompt: the instruction or question, for examples.
        text: the response or answer, for examples.
        location: where a row is; None for anything else.
        bounds: the least and the largest value that its numbers can have, by name; of other numbers none are known.
    """

    id: str
    content: Hashable
    keys: dict[str, Hashable]
    numbers: dict[str, float | None]
    prompt: str
    text: str
    location: Location | None = None
    bounds: Mapping[str, tuple[float, float]] = {}


class ComparedSet(NamedTuple):
    """A or B.

    Attributes:
        kind: rows, answers, turns or judgements.
        path: as the user typed it, or the file in a run folder.
        hash: of its content, for the run's key.
        items: reads it.
        scorer: the model that measured the turns, or the judge.
        run: the judge's run, of judgements.
    """

    kind: str
    path: str
    hash: str
    items: Callable[[], Iterable[ComparedItem]]
    scorer: str = ""
    run: Run | None = None


def open_set(settings: CompareSettings, name: str) -> ComparedSet:
    """Open A or B: a run folder, a file of answers, or rows.

    Raises:
        RunError: a run that holds nothing to compare.
        InputError: what can't be read.
    """
    from tunescope.rows import find_run_rows, open_rows

    path = Path(name)
    if (path / "run.json").is_file():
        run = Run(path)
        answers = path / ANSWERS_FILE
        if answers.is_file():
            from tunescope.answers import read_answers

            return ComparedSet("answers", str(answers), run.identity, lambda: map(_answer_item, read_answers(answers)))
        if MeasuredTurn.NAME in run.tables:
            model = MeasureResult.read(run).model or "no model"
            return ComparedSet(
                "turns", name, run.identity, lambda: starmap(_turn_item, MeasuredTurn.read_measures(run)), model
            )
        if holds_judgements(run):
            return ComparedSet(
                "judgements",
                name,
                run.identity,
                lambda: map(_judged_item, read_judgements(run)),
                describe_judges(run),
                run,
            )
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
            return ComparedSet("answers", name, content_hash(path), lambda: map(_answer_item, read_answers(path)))
    rows = open_rows([name], settings.format, settings.columns)
    item = _row_item if settings.key is None else partial(_keyed, settings.key)
    return ComparedSet("rows", name, "".join(rows.inputs.values()), lambda: map(item, rows))


def _row_item(row: Row) -> ComparedItem:
    from tunescope.rows.content import last_reply
    from tunescope.text.words import words

    response = last_reply(row.messages)
    numbers: dict[str, float | None] = {
        "instruction_words": len(words(row.instruction)),
        "response_words": len(words(response)),
        "turns": sum(1 for _ in row.turns()),
    }
    if row.rejected:
        numbers["rejected_words"] = len(words(last_reply(row.rejected)))
    for name, value in row.fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in numbers:
            numbers[name] = float(value) if abs(value) < _LARGEST else None
    keys: dict[str, Hashable] = {"origin": row.origin, "instruction": row.instruction}
    content = row.id.partition(".")[0]
    return ComparedItem(row.id, content, keys, numbers, row.instruction, response, row.location, _COUNTS)


def _keyed(key: str, row: Row) -> ComparedItem:
    if key not in row.fields:
        raise SettingsError(f"--key {key}: {row.location} has the columns {', '.join(row.fields)}")
    item = _row_item(row)
    item.keys["key"] = repr(row.fields[key])
    return item


def _answer_item(answer: Answer) -> ComparedItem:
    from tunescope.text.words import words

    numbers: dict[str, float | None] = {
        "answer_words": len(words(answer.text)),
        "answer_tokens": None if answer.token_ids is None else len(answer.token_ids),
    }
    prompt = (answer.prompt, answer.turn, answer.sample)
    keys: dict[str, Hashable] = {"prompt_id": answer.place, "prompt": prompt}
    return ComparedItem(answer.answer_id, answer.text, keys, numbers, answer.prompt, answer.text, bounds=_COUNTS)


def _turn_item(turn: MeasuredTurn, measures: Mapping[str, Any]) -> ComparedItem:
    """Make an item of a measured turn; what isn't measured of it has no numbers."""
    numbers = {name: value for name, value in measures.items() if not isinstance(value, bool)}
    keys: dict[str, Hashable] = {"origin": (turn.origin, turn.turn)}
    content = turn.row_id.partition(".")[0]
    bounds = {name: measure_bounds(name) for name in numbers}
    return ComparedItem(f"{turn.row_id}#{turn.turn}", content, keys, numbers, "", "", bounds=bounds)


def _judged_item(judged: JudgedItem) -> ComparedItem:
    """Make an item of a judgement; where the run has one system alone, the item's id is a key of its own."""
    keys: dict[str, Hashable] = {"system": (*judged.who, judged.item)}
    if judged.is_only_system:
        keys["item"] = judged.item
    content = tuple((name, None if value is None else f"{value:.6g}") for name, value in judged.verdicts.items())
    numbers = {**judged.verdicts, **judged.lengths}
    bounds = dict.fromkeys(judged.lengths, (0.0, inf)) | judged.scales
    return ComparedItem(" ".join([*judged.who, judged.item]), content, keys, numbers, "", "", bounds=bounds)


def pair_items(a: Sequence[ComparedItem], b: Sequence[ComparedItem], kind: str) -> Pairing[ComparedItem]:
    """Pair items by the keys of their kind; items with the same key pair in file order."""
    return pair_up(a, b, {name: partial(_key, name) for name in PAIRING_KEYS[kind]})


def _key(name: str, item: ComparedItem) -> Hashable | None:
    return item.keys.get(name)
