"""`judge recompute`: the tables of judgement files that others made, with intervals and with what is missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.judgements.records import RULES, Grade, Judgements, Options, Pair
from tunescope.judgements.tags import Tags
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, at_least

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.judgements.files import Document

VERSION = 2
Judged = TypeVar("Judged", Pair, Grade)


@dataclass(frozen=True, kw_only=True)
class RecomputeSettings:
    """Recompute the tables of judgement files that others made, with intervals and with what is missing."""

    files: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Judgement files: AlpacaEval's annotations, reviews of Cherry_LLM or SelFee, FastChat's, just-eval's shards."""

    format: str | None = None
    """Read them as alpaca_eval, cherry, selfee, fastchat_pair, fastchat_single, just_eval or tunescope; recognised."""

    reference: str | None = None
    """The system that others are held against; by default the one that the file has as such, or its second."""

    names: tuple[str, ...] = ()
    """What to call the two systems, first and second, of files that don't name them."""

    rule: Literal["paper", "agree"] = "paper"
    """The verdict over two orders: paper 3's rule, or a tie wherever the orders disagree (FastChat's)."""

    scores: Literal["stored", "text"] = "stored"
    """Take the scores that the file stores, or those that we read in the judge's replies."""

    one_order: bool = False
    """Take reviews of which only one order is there; a judge's leaning to one place isn't balanced then."""

    tags: str | None = field(default=None, metadata=INPUT)
    """A file with an id or instruction and true-or-false columns per item (just-eval's tags.json)."""

    first: int | None = field(default=None, metadata=at_least(1))
    """Only this many items, in the order of their ids where these are numbers, else of the files; of each file where
    these are parts of their own (cherry)."""

    draws: int = field(default=10_000, metadata=at_least(100))
    """Bootstrap draws."""

    seed: int = 0
    """Seed of the bootstrap."""

    out: str | None = runs.out_field()
    """The run folder; runs/judge-recompute-KEY by default."""


def recompute(settings: RecomputeSettings) -> Run:
    """Recompute judgement files; return the run.

    Of two answers: tables `comparisons` (a record per system, reference, judge and part) and `items` (per item its
    verdict, value, both orders' scores, lengths). Of single answers: tables `aspects` and `scores`. `rereadings.jsonl`
    has the replies that we read otherwise than the file does.

    Raises:
        InputError: files that can't be read, are of no known format, hold an item twice or several systems in one.
        SettingsError: a format, reference or number that can't work.
    """
    from tunescope.judgements.files import expand, read_document
    from tunescope.judgements.formats import format_of
    from tunescope.rows.containers import content_hash

    if len(settings.names) not in (0, 2) or len({*settings.names}) < len(settings.names):
        raise SettingsError(f"--names {' '.join(settings.names)}: expected two that differ: --names A --names B")
    paths = expand(settings.files)
    if not paths:
        raise SettingsError("no files; type tunescope judge recompute FILE…")
    documents = [read_document(path) for path in paths]
    module = format_of(documents, settings.format)
    if settings.names and not hasattr(module, "NAMELESS"):
        raise SettingsError(f"--names: {module.NAME} files name their systems themselves")
    if settings.one_order and not hasattr(module, "ORDERS_IN_FILES"):
        raise SettingsError(f"--one-order: {module.NAME} files aren't one per order")
    inputs = {document.path: f"{content_hash(Path(document.path))} {document.stem}" for document in documents}
    tags = Tags(settings.tags)
    work = partial(_work, settings, module, documents, tags)
    return runs.execute("judge recompute", VERSION, settings, {**inputs, **tags.inputs}, work)


def _work(
    settings: RecomputeSettings, module: ModuleType, documents: list[Document], tags: Tags, folder: RunFolder
) -> Outcome:
    judged: Judgements = module.read(documents, Options(settings.names, settings.one_order))
    result: dict[str, Any] = {
        "format": module.NAME,
        "formula": module.FORMULA,
        "files": len(documents),
        "records": sum(len(document.entries) for document in documents),
    }
    said = [f"Read as {module.NAME}. {module.FORMULA}", *judged.notes]
    return outcome(settings, module, judged, tags, result, said, folder)


def outcome(
    settings: RecomputeSettings,
    module: ModuleType,
    judged: Judgements,
    tags: Tags,
    result: dict[str, Any],
    said: list[str],
    folder: RunFolder,
) -> Outcome:
    """Write the tables of judgements, and return their numbers and the view; for judgements old and new."""
    result |= judged.more
    if judged.pairs:
        pairs = _prepared(settings, judged.pairs, tags)
        return _of_pairs(settings, module, pairs, result, said, folder)
    grades = _prepared(settings, judged.grades, tags)
    return _of_grades(settings, module, grades, result, said, folder)


def _prepared(settings: RecomputeSettings, given: Sequence[Judged], tags: Tags) -> list[Judged]:
    """Tag items and keep the first ones, of each part of its own."""
    judged = list(given)
    if tags.file is not None:
        own = [tags.of_judged(each) for each in judged]
        tags.refuse_strangers(any(found is not None for found in own))
        judged = [_tagged(each, found or ()) for each, found in zip(judged, own, strict=True)]
    parts: dict[str, list[str]] = {}
    for each in judged:
        parts.setdefault(_part(each), []).append(each.item)
    kept = {part: first_of(items, settings.first) for part, items in parts.items()}
    return [each for each in judged if each.item in kept[_part(each)]]


def _tagged(judged: Judged, tags: tuple[str, ...]) -> Judged:
    return replace(judged, tags=(*judged.tags, *tags))


def _part(judged: Pair | Grade) -> str:
    return judged.part if isinstance(judged, Pair) else ""


def first_of(items: Iterable[str], count: int | None) -> set[str]:
    """Return the first items, in the order of their ids where these are numbers, else as they come; None: all."""
    found = list(dict.fromkeys(items))
    if all(item.isascii() and item.isdigit() for item in found):
        found.sort(key=int)
    return set(found[:count])


def _of_pairs(
    settings: RecomputeSettings,
    module: ModuleType,
    pairs: list[Pair],
    result: dict[str, Any],
    said: list[str],
    folder: RunFolder,
) -> Outcome:
    from tunescope.judgements import win_rates as numbers
    from tunescope.judgements.view import pairs_view

    if settings.reference is not None:
        systems = dict.fromkeys(name for pair in pairs for name in (pair.a, pair.b))
        if settings.reference not in systems:
            raise SettingsError(f"--reference {settings.reference}: the systems here are {_some(systems)}")
        pairs = numbers.against(pairs, settings.reference)
    counts: Counter[str] = Counter()
    if hasattr(module, "parse"):
        read, counts, others = numbers.reread(pairs, module.parse)
        pairs = read if settings.scores == "text" else pairs
        if others:
            folder.records("rereadings", (each._asdict() for each in others))
    elif settings.scores == "text":
        raise _no_text(module)
    groups = numbers.grouped(pairs)
    names = numbers.named(list(groups))
    found = {}
    for who, members in groups.items():
        record = {"system": who.a, "reference": who.b, "judge": who.judge or None, "part": who.part or None}
        found[names[who]] = record | numbers.summarise(members, settings.rule, seed=settings.seed, draws=settings.draws)
    two = any(len(pair.orders) == 2 for pair in pairs)
    result |= {"kind": "pairs", "rule": settings.rule if two else None}
    if counts:
        result["rereading"] = {kind: counts[kind] for kind in numbers.KINDS}
    tagged = {
        names[who]: numbers.by_tag(members, settings.rule, seed=settings.seed, draws=settings.draws)
        for who, members in groups.items()
    }
    tagged = {name: tags for name, tags in tagged.items() if tags}
    if len(found) == 1:
        result |= next(iter(found.values())) | ({"tags": next(iter(tagged.values()))} if tagged else {})
    else:
        result |= {"comparisons": found} | ({"tags": tagged} if tagged else {})
    folder.table("comparisons", _table(flat_record(name, record) for name, record in found.items()))
    folder.table("items", _table(numbers.columns(pairs, names, settings.rule)))
    if two:
        result["formula"] += f" {_rule(settings)}"
        said[0] += f" {_rule(settings)}"
    return Outcome(result, pairs_view(result, found, tagged, said, counts, folder))


def _no_text(module: ModuleType) -> SettingsError:
    why = getattr(module, "NO_TEXT", f"{module.NAME} files keep no replies that we read")
    return SettingsError(f"--scores text: {why}")


def _rule(settings: RecomputeSettings) -> str:
    return f"Over both orders ({settings.rule}): {RULES[settings.rule]}."


def flat_record(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a comparison's numbers as one row of a table: NAME for a value, NAME_low and NAME_high."""
    out: dict[str, Any] = {"comparison": name}
    for key, value in record.items():
        if isinstance(value, Mapping):
            out |= {key: value.get("mean"), f"{key}_low": value.get("low"), f"{key}_high": value.get("high")}
            if "standard_error" in value:
                out[f"{key}_standard_error"] = value["standard_error"]
        else:
            out[key] = value
    return out


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (", …" if len(listed) > 12 else "")


def _of_grades(
    settings: RecomputeSettings,
    module: ModuleType,
    grades: list[Grade],
    result: dict[str, Any],
    said: list[str],
    folder: RunFolder,
) -> Outcome:
    from tunescope.judgements import scores as numbers
    from tunescope.judgements.view import grades_view

    if settings.reference:
        raise SettingsError(f"--reference: {module.NAME} files hold no comparisons")
    counts: Counter[str] = Counter()
    if hasattr(module, "parse"):
        read, counts, others = numbers.reread(grades, module.parse)
        grades = read if settings.scores == "text" else grades
        if others:
            folder.records("rereadings", others)
    elif settings.scores == "text":
        raise _no_text(module)
    found, tagged = {}, {}
    systems = numbers.systems(grades)
    for (system, judge), name in numbers.named([*systems]).items():
        members = systems[system, judge]
        elsewhere = getattr(module, "NA_ELSEWHERE", None)
        summary = numbers.summarise(members, na_elsewhere=elsewhere, seed=settings.seed, draws=settings.draws)
        found[name] = {"system": system, "judge": judge or None} | summary
        tags = numbers.by_tag(members, seed=settings.seed, draws=settings.draws)
        if tags:
            tagged[name] = tags
    result |= {"kind": "grades"}
    if counts:
        result["rereading"] = {
            kind: counts[kind] for kind in ("same", "differs", "only_stored", "only_read", "neither")
        }
    if len(found) == 1:
        result |= next(iter(found.values())) | ({"tags": next(iter(tagged.values()))} if tagged else {})
    else:
        result |= {"systems": found} | ({"tags": tagged} if tagged else {})
    differences = numbers.differences(grades, seed=settings.seed, draws=settings.draws)
    if differences:
        result |= {"differences": differences, "against": list(found)[-1]}
    lines = (
        {"name": name, "system": record["system"], "judge": record["judge"], "aspect": aspect, **numbers_of}
        for name, record in found.items()
        for aspect, numbers_of in record["aspects"].items()
    )
    folder.table("aspects", _table(lines))
    folder.table("scores", _table(numbers.records(grades)))
    return Outcome(result, grades_view(result, found, tagged, said, counts, folder))


def _table(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Make a table of records of texts, numbers and lists of texts; a column of nothing but nulls is one of numbers.

    Through JSON: `pa.array` imports pandas wherever that is installed, which takes longer than all else here.
    """
    import pyarrow as pa
    from pyarrow import json as reader

    rows = list(records)
    columns: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, set()).add(type(value))
    schema = pa.schema([(name, _kind(kinds - {type(None)})) for name, kinds in columns.items()])
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return reader.read_json(
        pa.BufferReader(data),
        reader.ReadOptions(block_size=len(data)),
        reader.ParseOptions(explicit_schema=schema),
    )


def _kind(kinds: set[type]) -> pa.DataType:
    import pyarrow as pa

    if kinds == {list}:
        return pa.list_(pa.string())
    return {frozenset({str}): pa.string(), frozenset({int}): pa.int64()}.get(frozenset(kinds), pa.float64())
