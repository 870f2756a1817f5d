"""AlpacaEval's annotations (`annotations.json`): a preference between 1 (the reference) and 2 (the model)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tunescope.judgements.files import Document, DocumentRecord, Problems, columns_without_text
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.records import Comparison, Judgements, PairJudgement, Presentation
from tunescope.rows import Message
from tunescope.rows.json_text import kind
from tunescope.rows.row import content_id

_TEXTS = ("instruction", "output_1", "output_2", "generator_1", "generator_2")


def _detect(record: Mapping[str, Any]) -> bool:
    return {"output_1", "output_2", "generator_1", "generator_2", "preference"} <= record.keys()


class _Annotation(NamedTuple):
    """A judgement with the file that it is in, and the texts of a's and b's answer."""

    document: Document
    pair: PairJudgement
    texts: tuple[str, str]


class _NameInFile(NamedTuple):
    """What a file calls a system."""

    path: str
    system: str


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read annotations: a is generator_2, b is generator_1, or as `options.system_names` says.

    Two files that give one name to other answers have two systems, called after their files too. An instruction that
    is repeated with other answers is an item of its own: it has `.2` behind its id.

    Raises:
        InputError: columns without text.
    """
    problems, annotations = Problems(), list[_Annotation]()
    for document in documents:
        for record in document.records:
            pair = _read_pair(record, options.system_names, problems)
            if pair is not None:
                texts = (record.value["output_2"], record.value["output_1"])
                annotations.append(_Annotation(document, pair, texts))
    problems.raise_any()
    new_names = _tell_apart(annotations)
    return Judgements(
        pairs=_number_items(annotations, new_names), notes=tuple(_notes(documents, annotations, new_names))
    )


def _tell_apart(annotations: Sequence[_Annotation]) -> dict[_NameInFile, str]:
    """Return a name of its own, NAME (FILE), for each system whose name another file gives to other answers."""
    answers: dict[_NameInFile, dict[str, str]] = {}
    for document, pair, texts in annotations:
        answers.setdefault(_NameInFile(document.path, pair.a), {}).setdefault(pair.item, texts[0])
    stems = {document.path: document.stem for document, _, _ in annotations}
    names: dict[_NameInFile, str] = {}
    for here, own in answers.items():
        others = [texts for there, texts in answers.items() if there.system == here.system and there.path != here.path]
        equal = [own[item] == texts[item] for texts in others for item in own.keys() & texts.keys()]
        if equal and sum(equal) < len(equal) / 2:
            names[here] = f"{here.system} ({stems[here.path]})"
    return names


def _number_items(annotations: Sequence[_Annotation], new_names: Mapping[_NameInFile, str]) -> list[PairJudgement]:
    """Return the judgements under their systems' new names, items of repeated instructions with their ordinals."""
    asked: dict[Comparison, dict[str, dict[tuple[str, str], int]]] = {}
    pairs = []
    for document, pair, texts in annotations:
        pair = replace(pair, a=new_names.get(_NameInFile(document.path, pair.a), pair.a))
        answered = asked.setdefault(Comparison.of(pair), {}).setdefault(pair.item, {})
        number = answered.setdefault(texts, len(answered) + 1)
        pairs.append(pair if number == 1 else replace(pair, item=f"{pair.item}.{number}", question=pair.item))
    return pairs


def _notes(
    documents: Sequence[Document], annotations: Sequence[_Annotation], new_names: Mapping[_NameInFile, str]
) -> Iterator[str]:
    for (path, name), new_name in new_names.items():
        yield f"{path} calls its system {name}, as another file with other answers does. Here it is {new_name}."
    for document in documents:
        systems = Counter(pair.a for of_file, pair, _ in annotations if of_file is document)
        if len(systems) > 1:
            listed = ", ".join(f"{name} ({count:,})" for name, count in systems.most_common())
            yield f"{document.path} names several systems: {listed}. If they are one, name it with --system-names."


def _read_pair(record: DocumentRecord, names: Sequence[str], problems: Problems) -> PairJudgement | None:
    columns = record.value
    wrong = next(columns_without_text(columns, _TEXTS), None)
    if wrong is not None:
        problems.add(record, f"{kind(wrong[1])} in {wrong[0]}", "text")
        return None
    task_input = columns.get("input")
    has_input = isinstance(task_input, str) and task_input
    question = f"{columns['instruction']}\n\n{task_input}" if has_input else columns["instruction"]
    dataset = columns.get("dataset")
    return PairJudgement(
        content_id((Message("user", question),)),
        names[0] if names else columns["generator_2"],
        names[1] if names else columns["generator_1"],
        str(columns.get("annotator") or ""),
        (_presentation(columns.get("preference")),),
        (len(columns["output_2"]), len(columns["output_1"])),
        (dataset,) if isinstance(dataset, str) and dataset else (),
        place=str(record.location),
    )


def _presentation(preference: Any) -> Presentation:
    if preference is None:
        return Presentation(None, None, "missing")
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return Presentation(None, None, "unparsed")
    value = 1.5 if preference == 0 else preference
    return Presentation(None, float(value) - 1, "ok") if 1 <= value <= 2 else Presentation(None, None, "unparsed")


FORMAT = Format(
    name="alpaca_eval",
    shape='{"instruction", "output_1", "generator_1", "output_2", "generator_2", "preference"}',
    formula="The preference is 1 if generator_1 (the reference) is better and 2 if generator_2 is. 1.5 is a tie, and "
    "so is the 0 of older files. Null is missing and isn't counted. Each item was judged in one order, drawn at "
    "random. The files don't say which.",
    detect=_detect,
    read=_read,
    renames_systems=True,
)
