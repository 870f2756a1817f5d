"""Answers as items of a study: one by one, in pairs, or a phrase of one beside rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.answers import Answer, answers_file, read_answers
from tunescope.errors import SettingsError
from tunescope.pairing import pair_up
from tunescope.results.annotate import Counterfactual, ShownAnswer, ShownRow, StudyItem, StudyKind
from tunescope.verbs.annotate.values import MOST_REWORDINGS

_SPANS_FILE = "spans.jsonl"


class Phrase(NamedTuple):
    """A stretch of an answer whose cause is asked for, in characters."""

    answer_id: str
    start: int
    end: int


class AnswerFile(NamedTuple):
    """Answers as they were named: what was typed, the file, and its answers that have a text."""

    name: str
    path: Path
    answers: list[Answer]


class RewordedAnswer(NamedTuple):
    """An answer to a reworded prompt, and the phrase that it is of; None where it is of all of its answer's."""

    phrase: Phrase | None
    tried: Counterfactual


class PairedItems(NamedTuple):
    """Items of two answers, the number of answers without a partner, and that of pairs left out for being equal."""

    items: list[StudyItem]
    n_alone: int
    n_equal: int


def read_answer_files(names: Sequence[str]) -> list[AnswerFile]:
    """Read files or runs of answers; answers without text are left out.

    Raises:
        InputError, RunError: a file that can't be read.
        SettingsError: one without an answer that has a text, or two that are the same.
    """
    files: list[AnswerFile] = []
    for name in names:
        path = answers_file(name)
        answers = [answer for answer in read_answers(path) if answer.text.strip()]
        if not answers:
            raise SettingsError(f"{path}: found no answer with a text; expected at least one")
        files.append(AnswerFile(name, path, answers))
    for one, other in pairwise(sorted(files, key=lambda file: str(file.path.resolve()))):
        if one.path.resolve() == other.path.resolve():
            raise SettingsError(f"{one.path}: found twice; expected each file of answers once")
    return files


def single_items(kind: StudyKind, files: Sequence[AnswerFile]) -> list[StudyItem]:
    """Return an item for each answer; the same answer in two files is one."""
    items = [_item(kind, answer, [_shown(answer, file)]) for file in files for answer in file.answers]
    return list({item.item_id: item for item in items}.values())


def paired_items(kind: StudyKind, files: Sequence[AnswerFile]) -> PairedItems:
    """Return an item for each two answers to the same question that differ.

    Raises:
        SettingsError: not two files, or no question in both.
    """
    if len(files) != 2:
        raise SettingsError(f"--kind {kind}: found {len(files)} files of answers; expected two")
    a, b = files
    pairing = pair_up(a.answers, b.answers, {"place": lambda x: x.place, "question": lambda x: x.asked.strip()})
    if not pairing.pairs:
        raise SettingsError(f"{a.path} and {b.path} have no question in common; expected answers to the same questions")
    items = [
        _item(kind, one, [_shown(one, a), _shown(other, b)])
        for one, other, _ in pairing.pairs
        if one.text.strip() != other.text.strip()
    ]
    if not items:
        raise SettingsError(f"{a.path} and {b.path} have the same answers; expected some that differ")
    return PairedItems(items, len(pairing.only_a) + len(pairing.only_b), len(pairing.pairs) - len(items))


def cause_items(
    phrases: Sequence[Phrase],
    files: Sequence[AnswerFile],
    rows: Mapping[Phrase, Sequence[ShownRow]],
    reworded: Mapping[str, Sequence[RewordedAnswer]],
) -> list[StudyItem]:
    """Return an item for each phrase, with its rows and with the reworded prompts of its answer, or of itself."""
    by_id = {answer.answer_id: (answer, file) for file in files for answer in file.answers}
    items: list[StudyItem] = []
    for phrase in phrases:
        answer, file = by_id[phrase.answer_id]
        tries = [each.tried for each in reworded.get(phrase.answer_id, ()) if each.phrase in (None, phrase)]
        span = (phrase.start, phrase.end)
        items.append(_item("cause", answer, [_shown(answer, file)], span, rows[phrase], tries))
    return items


def read_counterfactuals(name: str, files: Sequence[AnswerFile]) -> dict[str, list[RewordedAnswer]]:
    """Read answers to reworded prompts, by the answer of the study that they are of.

    That is the record's `answer_id`; of what `answer` wrote it is the prompt's, kept in `meta`. Beside it `start` and
    `end` may name one phrase of that answer.

    Raises:
        InputError, RunError: a file that can't be read.
        SettingsError: one of an answer that isn't in the study, or without a text.
    """
    path = answers_file(name)
    lengths = {answer.answer_id: len(answer.text) for file in files for answer in file.answers}
    reworded: dict[str, list[RewordedAnswer]] = {}
    for number, answer in enumerate(read_answers(path), 1):
        place = f"--counterfactuals {path}, record {number}"
        answer_id = str(answer.meta.get("answer_id", answer.answer_id))
        if answer_id not in lengths:
            raise SettingsError(
                f"{place}: found nothing that says which answer of the study it is of; expected the answer_id of "
                "one on each prompt or record"
            )
        phrase = None
        if "start" in answer.meta:
            phrase = _phrase({**answer.meta, "answer_id": answer_id}, lengths, place)
        content = json.dumps([answer_id, answer.prompt_id, answer.asked, answer.text, answer.model])
        tried = Counterfactual(
            try_id=blake2b(content.encode(), digest_size=16).hexdigest(),
            prompt=answer.asked,
            answer=answer.text,
            model=answer.model or path.stem,
        )
        reworded.setdefault(answer_id, []).append(RewordedAnswer(phrase, tried))
    if not reworded:
        raise SettingsError(f"--counterfactuals {path}: found no answer; expected at least one")
    for answer_id, tries in reworded.items():
        where = f"--counterfactuals {path}, answer {answer_id}"
        if len({each.tried.try_id for each in tries}) < len(tries):
            raise SettingsError(f"{where}: found the same one twice; expected it once")
        if len(tries) > MOST_REWORDINGS:
            raise SettingsError(f"{where}: found {len(tries)}; expected up to {MOST_REWORDINGS}")
    return reworded


def read_phrases(name: str, files: Sequence[AnswerFile]) -> tuple[list[Phrase], Path]:
    """Read stretches of answers from JSON lines of `answer_id`, `start` and `end` (a trace run: `char_start`, …).

    Raises:
        SettingsError: no such file, a line that is none, or a stretch that isn't in an answer.
    """
    path = Path(name) / _SPANS_FILE if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise SettingsError(f"--spans {path}: found no such file; expected lines of answer_id, start and end")
    lengths = {answer.answer_id: len(answer.text) for file in files for answer in file.answers}
    phrases = list(dict.fromkeys(_phrases(path, lengths)))
    if not phrases:
        raise SettingsError(f"--spans {path}: found no line; expected lines of answer_id, start and end")
    return phrases, path


def _phrases(path: Path, lengths: Mapping[str, int]) -> Iterator[Phrase]:
    for number, line in enumerate(path.read_text("utf-8", "replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{path}:{number}: expected answer_id, start and end ({error!r})") from error
        yield _phrase(record, lengths, f"{path}:{number}")


def _phrase(record: Any, lengths: Mapping[str, int], place: str) -> Phrase:
    """Return the phrase that a record names; raises `SettingsError` where it lies in no answer."""
    try:
        names = ("start", "end") if "start" in record else ("char_start", "char_end")
        phrase = Phrase(str(record["answer_id"]), *(int(record[each]) for each in names))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SettingsError(f"{place}: expected answer_id, start and end ({error!r})") from error
    if phrase.answer_id not in lengths:
        raise SettingsError(f"{place}: found the answer {phrase.answer_id!r}; expected one of --answers")
    if not 0 <= phrase.start < phrase.end <= lengths[phrase.answer_id]:
        raise SettingsError(
            f"{place}: found characters {phrase.start} to {phrase.end}; expected a stretch of the answer's "
            f"{lengths[phrase.answer_id]:,}"
        )
    return phrase


def _shown(answer: Answer, file: AnswerFile) -> ShownAnswer:
    return ShownAnswer(answer_id=answer.answer_id, system=answer.model or file.path.stem, text=answer.text)


def _item(
    kind: StudyKind,
    first: Answer,
    answers: Sequence[ShownAnswer],
    span: tuple[int, int] | None = None,
    rows: Sequence[ShownRow] = (),
    tries: Sequence[Counterfactual] = (),
) -> StudyItem:
    content: list[Any] = [kind, first.asked, [answer.as_json() for answer in answers], span]
    content += [[row.as_json() for row in rows], *([[each.as_json() for each in tries]] if tries else [])]
    item_id = blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()
    return StudyItem(
        item_id=item_id,
        kind=kind,
        prompt_id=first.prompt_id,
        prompt=first.asked,
        answers=tuple(answers),
        span=span,
        rows=tuple(rows),
        counterfactuals=tuple(tries),
    )
