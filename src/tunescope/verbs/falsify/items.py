"""From the names of sources and files to the items that pairs are made of: read, compared with benchmarks, sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from random import Random
from typing import Any, TypeGuard

from tunescope.errors import InputError, Problem, SettingsError, UsageError
from tunescope.family import members
from tunescope.locations import Location
from tunescope.questions.bench_task import all_tasks
from tunescope.questions.code_problems import CODE_TASKS, code_folder
from tunescope.questions.documents import Doc, Split, read_records, read_split
from tunescope.questions.own_questions import read_question
from tunescope.rows.containers import SUFFIXES, content_hash
from tunescope.rows.packing import without_packing
from tunescope.text.words import words
from tunescope.verbs.falsify.source import Item, Source

FACO = "faco"
"""The name of all nine sources together."""
_OWN = "own questions"
"""What stands for a domain where a person's own file is the source."""
_ITEM = "item"
_IN_BENCHMARK = "in a benchmark"
_NOT_SAMPLED = "not sampled"


@dataclass(frozen=True, kw_only=True)
class PlacedItem:
    """An item with its place and its source.

    Attributes:
        key: names the item within the run: the source, and the source's own id or the record's number.
        reason: why it is left out before anything is asked; empty where it isn't.
    """

    item: Item
    place: Location
    source: str
    domain: str
    key: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ItemSet:
    """The items of one source.

    Attributes:
        copy: what the file is: full, part, stand-in or schema only; a person's own.
        in_benchmarks: benchmark file → how many items stand in it.
    """

    name: str
    domain: str
    copy: str
    licence: str
    path: Path
    items: tuple[PlacedItem, ...]
    in_benchmarks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BenchmarkTexts:
    """The texts of the benchmarks' local files: normalized text → file, and each file's content."""

    file_of: Mapping[str, str]
    hashes: Mapping[str, str]


def all_sources() -> dict[str, Source]:
    """Return every source that has a file in `sources/`, by name."""
    from tunescope.verbs.falsify import sources

    return {module.SOURCE.name: module.SOURCE for module in members(sources)}


def read_sources(names: Sequence[str], data: str | None) -> list[ItemSet]:
    """Read all sources that are named; each once.

    Raises:
        UsageError: a name that is no source and no file.
        SettingsError: a source by name without a data folder, or two files of one name.
        InputError: a file that isn't there, or with records that are no questions.
    """
    known = all_sources()
    wanted = list(dict.fromkeys(each for name in names for each in (known if name == FACO else [name])))
    for name in wanted:
        if name not in known and not _is_file_name(name):
            near = get_close_matches(name, [*known, FACO], 1)
            hint = f"did you mean {near[0]}?" if near else f"the sources are {', '.join(known)} ({FACO}: all)"
            raise UsageError(f"there is no source {name}, and no such file; {hint}")
    named = [name for name in wanted if name in known]
    if named and data is None:
        raise SettingsError(
            f"{', '.join(named)}: no data folder is named; add --data FOLDER "
            "(what is in it: docs/reference/falsify-sources.md)"
        )
    sets = [_read_source(known[name], Path(data)) for name in named if data is not None]
    sets += [_read_own(Path(name)) for name in wanted if name not in known]
    twice = [each.name for each in sets if [other.name for other in sets].count(each.name) > 1]
    if twice:
        raise SettingsError(f"two sources are called {twice[0]}; rename a file")
    return sets


def _is_file_name(name: str) -> bool:
    return Path(name).is_file() or Path(without_packing(name)).suffix in {*SUFFIXES.values()}


def _read_source(source: Source, data: Path) -> ItemSet:
    copy = source.find(data)
    if copy is None:
        wanted = " or ".join(f"{path}.jsonl" for path in (*source.train, *source.stand_ins))
        problem = Problem(str(data), None, f"no {wanted}", f"{source.licence.split(';')[0]} as JSON lines or Parquet")
        raise InputError([problem], f"Put it there, or leave out {source.name}.")
    split = read_split(copy.path, source.columns, lambda record, path: {_ITEM: source.read(record)})
    return ItemSet(
        name=source.name,
        domain=source.domain,
        copy=source.describe(copy, len(split.docs)),
        licence=source.licence,
        path=copy.path,
        items=_place(source.name, source.domain, split),
    )


def _read_own(path: Path) -> ItemSet:
    if not path.is_file():
        expected = f"a file with question, choices and answer, or one of the sources {', '.join(all_sources())}"
        raise InputError([Problem(str(path), None, "no such file", expected)])
    split = read_split(path, ("question", "answer"), _own_item)
    name = Path(without_packing(path.name)).stem
    return ItemSet(
        name=name, domain=_OWN, copy="a person's own file", licence="", path=path, items=_place(name, _OWN, split)
    )


def _own_item(record: Doc, path: Path) -> Doc:
    question = read_question(record, path)
    explanation = record.get("explanation")
    if explanation is not None and not isinstance(explanation, str):
        raise ValueError(f"the explanation {explanation!r} isn't a text")
    item = Item(
        question=question["question"].strip(),
        options=tuple(question["choices"]),
        gold=question["gold"],
        explanation=(explanation or "").strip(),
        item_id=str(record.get("id") or ""),
    )
    if not wrong_options(item):
        raise ValueError("too few wrong options: none differs from the right one in more than case and punctuation")
    return {_ITEM: item}


def wrong_options(item: Item) -> list[int]:
    """Return the numbers of the options that differ from the right one in their words, or in a sign."""
    right = normalize(item.options[item.gold])
    return [number for number, text in enumerate(item.options) if normalize(text) != right]


def normalize(text: str) -> str:
    """Return a text's words; of one that has none, its signs."""
    return " ".join(words(text)) or " ".join(text.split())


def _place(name: str, domain: str, split: Split) -> tuple[PlacedItem, ...]:
    placed: list[PlacedItem] = []
    seen: set[str] = set()
    for doc, place in zip(split.docs, split.places, strict=True):
        item: Item = doc[_ITEM]
        number = place.line if place.record is None else place.record
        key = f"{name}:{item.item_id or number}"
        key = f"{key}:{number}" if key in seen else key
        seen.add(key)
        placed.append(PlacedItem(item=item, place=place, source=name, domain=domain, key=key))
    return tuple(placed)


def read_benchmarks(data: Path) -> BenchmarkTexts:
    """Read the texts of all benchmarks of `bench` whose scored files are in the data folder.

    Every column of a record that is a text counts, whatever it is called. Lists of options aren't texts: a question
    may be worded as another's option is.

    Raises:
        InputError: a record can't be read.
    """
    found = [task.find_file(task.scored_split, data) for task in all_tasks().values()]
    paths = [path for path in found if path is not None]
    paths += [path for task in CODE_TASKS if (path := code_folder(task, data) / "test.jsonl").is_file()]
    file_of: dict[str, str] = {}
    for path in dict.fromkeys(paths):
        problems: list[Problem] = []
        name = str(path.relative_to(data))
        for _, record in read_records(path, problems):
            for text in filter(_is_text, record.values()):
                file_of.setdefault(normalize(text), name)
        if problems:
            raise InputError(problems)
    return BenchmarkTexts(file_of=file_of, hashes={str(path): content_hash(path) for path in dict.fromkeys(paths)})


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def choose(items: ItemSet, benchmarks: BenchmarkTexts | None, per_source: int, seed: int) -> ItemSet:
    """Leave out items that stand in a benchmark, then all but a seeded sample of `per_source`; the order stays."""
    counts: dict[str, int] = {}
    kept: list[int] = []
    chosen = list(items.items)
    for number, placed in enumerate(chosen):
        text = normalize(placed.item.original or placed.item.question)
        file = benchmarks.file_of.get(text) if benchmarks is not None else None
        if file is not None:
            counts[file] = counts.get(file, 0) + 1
            chosen[number] = replace(placed, reason=f"{_IN_BENCHMARK}: {file} has this question")
        else:
            kept.append(number)
    if len(kept) > per_source:
        sample = set(Random(f"{seed}/falsify build/{items.name}").sample(kept, per_source))
        for number in kept:
            if number not in sample:
                chosen[number] = replace(chosen[number], reason=f"{_NOT_SAMPLED}: more than --per-source {per_source}")
    return replace(items, items=tuple(chosen), in_benchmarks=counts)


def source_inputs(sets: Sequence[ItemSet], benchmarks: BenchmarkTexts | None) -> dict[str, Any]:
    """Return what a run's key knows of the files read: each by its path."""
    return {str(each.path): content_hash(each.path) for each in sets} | (
        dict(benchmarks.hashes) if benchmarks is not None else {}
    )
