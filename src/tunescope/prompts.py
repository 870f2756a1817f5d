"""Prompts: the questions that a model answers, read from question files or row files.

Question files are records (JSON lines or an array) in one of `FORMATS`. Any other file is read as rows;
the model then answers what comes before a row's last assistant message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem, SettingsError
from tunescope.locations import Location, missing
from tunescope.rows import Message
from tunescope.rows.containers import read, recognise
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate, kind, list_columns
from tunescope.rows.media import read_media
from tunescope.rows.packing import open_packed, packing_of, without_packing
from tunescope.rows.row import Json, RepeatCounter, content_id

TAGS = (
    *("math", "coding", "writing", "info-seek", "role-play", "procedure", "reasoning", "stem", "humanities"),
    *("lifestyle", "finance", "medical", "nature", "ethics", "malicious"),
)
"""The true-or-false columns of just-eval's tags file."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question for a model, or several in turn.

    Attributes:
        prompt_id: the file's own id, or a hash of the content (as rows have) where it gives none.
        prompt: the question's text.
        later: questions that follow it, each asked after the model's own answer to the one before.
        given: the conversation that the model continues, where that is more than the question.
        tools: tool declarations that go with it.
        fields: the source record, where the prompt comes from a row.
        meta: what the file adds to the question (category, data set, tags); kept on its answers.
    """

    prompt_id: str
    prompt: str
    later: tuple[str, ...] = ()
    given: tuple[Message, ...] = ()
    tools: tuple[Json, ...] = ()
    fields: Mapping[str, Json] = field(default_factory=dict)
    meta: Mapping[str, Json] = field(default_factory=dict)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that the model continues first."""
        return self.given or (Message("user", self.prompt),)

    @property
    def turns(self) -> int:
        """How many answers it asks for."""
        return 1 + len(self.later)

    def conversation_after(self, answers: Sequence[str]) -> tuple[Message, ...]:
        """Return the conversation that the model continues after its own `answers` to the earlier questions."""
        replies = (Message("assistant", text) for text in answers)
        questions = (Message("user", text) for text in self.later)
        return (*self.messages, *chain.from_iterable(zip(replies, questions, strict=False)))


_ANSWER_COLUMNS = ("output", "response", "answer", "completion", "chosen", "messages", "conversations")
"""Columns that make a record a row."""


@dataclass(frozen=True, slots=True)
class _PromptFormat:
    """A format of question files.

    Attributes:
        name: what `--format` calls it.
        shape: how a record looks, for errors.
        id_column: the column with the id; None: the id is made from the content.
        text: the columns that may hold the question: a text, or a list of questions to ask in turn.
        marks: columns of which a record of this format has at least one; empty where the id or text column is enough.
        without: columns that a record of this format can't have.
        meta: the columns that go to `Prompt.meta`; None: all others.
        further: columns with lists of further questions, each a prompt of its own: texts, or objects with a `prompt`.
    """

    name: str
    shape: str
    id_column: str | None
    text: tuple[str, ...]
    marks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    meta: tuple[str, ...] | None = None
    further: tuple[str, ...] = ()

    def fits(self, record: Mapping[str, Json]) -> bool:
        """Return whether a record looks like one of this format."""
        has_column = (
            self.id_column in record if self.id_column is not None else any(name in record for name in self.text)
        )
        has_mark = not self.marks or any(name in record for name in self.marks)
        return has_column and has_mark and not any(record.get(name) not in (None, "") for name in self.without)

    def parse(self, record: Mapping[str, Json]) -> Prompt:
        """Read one record. In a format without ids, a prompt's id is the hash of its text.

        Raises:
            FormatError: no question in it, or no id.
        """
        column = next((name for name in self.text if name in record), None)
        if column is None:
            raise FormatError(f"columns {list_columns(record)}", self.shape)
        if media := read_media(record):
            raise FormatError(f"media (column {media[0][0]})", "questions in text only")
        value = record[column]
        questions = [_text_of_turn(turn) for turn in value] if isinstance(value, list) and value else [value]
        for question in questions:
            if not isinstance(question, str) or not question.strip():
                found = kind(question) if not isinstance(question, str) else "a blank text"
                raise FormatError(f"{found} in column {abbreviate(column)}", self.shape)
        names = self.meta if self.meta is not None else [n for n in record if n not in (self.id_column, column)]
        meta = {name: record[name] for name in names if record.get(name) is not None}
        tags = [name for name in TAGS if record.get(name) is True]
        if tags:
            meta["tags"] = tags
        return Prompt(self._prompt_id(record, questions), questions[0], tuple(questions[1:]), meta=meta)

    def parse_all(self, record: Mapping[str, Json]) -> Iterator[Prompt]:
        """Read one record, and its further questions; raises `FormatError` as `parse` does."""
        prompt = self.parse(record)
        yield prompt
        for column in self.further:
            value = record.get(column) or []
            for number, entry in enumerate(value if isinstance(value, list) else [value], 1):
                text = entry.get("prompt") if isinstance(entry, Mapping) else entry
                if not isinstance(text, str) or not text.strip():
                    raise FormatError(f"no question in column {column}", self.shape)
                yield replace(prompt, prompt_id=further_id(prompt.prompt_id, column, number), prompt=text)

    def _prompt_id(self, record: Mapping[str, Json], questions: Sequence[str]) -> str:
        if self.id_column is None:
            return content_id(tuple(Message("user", text) for text in questions))
        value = record.get(self.id_column)
        if (isinstance(value, str) and value) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise FormatError(f"no id in column {abbreviate(self.id_column)} (columns: {list_columns(record)})", self.shape)


def _text_of_turn(turn: Json) -> Json:
    """Return a question that stands alone or, as in arena-hard, in an object with its content."""
    return turn["content"] if isinstance(turn, Mapping) and turn.keys() == {"content"} else turn


def further_id(prompt_id: str, column: str, number: int) -> str:
    """Return the id of a record's further question, such as `boil/rewordings-1`."""
    return f"{prompt_id}/{column}-{number}"


FORMATS = (
    _PromptFormat("prompts", '{"prompt_id": "p1", "prompt": "…"}', "prompt_id", ("prompt",)),
    _PromptFormat(
        "mt_bench",
        '{"question_id": 81, "category": "…", "turns": ["…"]} (or "text")',
        "question_id",
        ("turns", "text"),
        meta=("category",),
    ),
    _PromptFormat(
        "wizardlm",
        '{"idx": 1, "Skill": "…", "Difficulty": 1, "Instruction": "…"}',
        "idx",
        ("Instruction",),
        meta=("Skill", "Difficulty"),
    ),
    _PromptFormat(
        "just_eval",
        '{"id": 0, "instruction": "…", "source_id": "…"} (or with its tags)',
        "id",
        ("instruction",),
        marks=("source_id", "info-seek"),
        meta=("dataset", "category", "source_id"),
    ),
    _PromptFormat(
        "medinstruct",
        '{"id": 0, "instruction": "…", "difficulty": "3"}',
        "id",
        ("instruction",),
        marks=("difficulty",),
        without=("input", "output", "response"),
        meta=("difficulty",),
    ),
    _PromptFormat(
        "alpaca_eval",
        '{"instruction": "…", "dataset": "…"} (or with output and generator)',
        None,
        ("instruction",),
        marks=("dataset", "generator"),
        without=("input",),
        meta=("dataset",),
    ),
    _PromptFormat(
        "arena_hard",
        '{"uid": "…", "category": "…", "prompt": "…"}',
        "uid",
        ("prompt", "turns"),
        without=_ANSWER_COLUMNS,
        meta=("category", "subcategory", "cluster"),
    ),
    _PromptFormat(
        "ifeval",
        '{"key": 1000, "prompt": "…", "instruction_id_list": […]}',
        "key",
        ("prompt",),
        ("instruction_id_list",),
    ),
    _PromptFormat(
        "claims",
        '{"claim_id": "c1", "prompt": "…", "phrases": ["…"], "rewordings": ["…"]}',
        "claim_id",
        ("prompt",),
        marks=("phrases", "truth"),
        meta=(),
        further=("rewordings", "neighbours"),
    ),
    _PromptFormat(
        "questions",
        '{"prompt": "…"} (or "question" or "instruction"; ids are made from the content)',
        None,
        ("prompt", "question", "instruction", "text"),
        without=(*_ANSWER_COLUMNS, "input"),
    ),
)
"""The question files, in the order in which they are tried."""
SHAPES = "a question, such as " + ", ".join(form.shape for form in FORMATS) + ", or a row"


def detect_format(record: Mapping[str, Json]) -> _PromptFormat | None:
    """Return the format that a record looks like, or None."""
    return next((form for form in FORMATS if form.fits(record)), None)


def read_prompts(path: str | Path, format: str | None = None) -> list[Prompt]:
    """Read a question file or a row file; without a `format`, the first record decides.

    Raises:
        InputError: one report of every record without a question, or with an id that came before.
        SettingsError: an unknown format.
    """
    formats = {each.name: each for each in FORMATS}
    if format is None and without_packing(Path(path).name).lower().endswith(".txt"):
        return _read_lines(path)
    if format is not None and format not in formats:
        return _read_rows(path, _resolve_row_format(format, formats))
    question_format = formats[format] if format is not None else _detect_by_first_record(path)
    return _read_rows(path, None) if question_format is None else _read_questions(path, question_format)


def _read_lines(path: str | Path) -> list[Prompt]:
    """Read plain text: a question per line that isn't blank; its id is the hash of the text."""
    file = _require_file(path, "questions")
    with file.open("rb") as opened:
        packing = packing_of(file, opened.read(8))
    try:
        with open_packed(file, packing) as stream:
            lines = stream.read().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        problem = Problem(str(path), None, f"invalid UTF-8 (byte 0x{error.object[error.start]:02x})", "UTF-8")
        raise InputError([problem], f"If it is in Latin-1: iconv -f LATIN1 -t UTF-8 {path} > NEW") from error
    repeats = RepeatCounter()
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise InputError([Problem(str(path), None, "no questions", "one per line")])
    return [Prompt(repeats.name(content_id((Message("user", text),))), text) for text in texts]


def _resolve_row_format(format: str, question_formats: Iterable[str]) -> str | None:
    from tunescope.rows import layout

    try:
        return layout.resolve_format(format)
    except SettingsError as error:
        expected = ", ".join([*question_formats, *layout.format_modules()])
        raise SettingsError(f"--format {format!r}: expected one of {expected}") from error


def _detect_by_first_record(path: str | Path) -> _PromptFormat | None:
    """Return the format of the first record that can be read; None where that is a row."""
    for n_records, (location, record, _) in enumerate(read_records(path, SHAPES), 1):
        if record is not None:
            question_format = detect_format(record)
            if question_format is None:
                _validate_row(location, record)
            return question_format
        if n_records > SHOWN_PROBLEMS:
            break
    return FORMATS[0]  # no record can be read: reading on reports why


def _validate_row(location: Location, record: Mapping[str, Json]) -> None:
    from tunescope.rows import layout

    try:
        layout.detect(record, None, {})
    except FormatError as error:
        raise InputError([Problem.at(location, error.found, SHAPES)], "Name its format with --format.") from error


def _read_questions(path: str | Path, question_format: _PromptFormat) -> list[Prompt]:
    prompts: list[Prompt] = []
    problems: list[Problem] = []
    first_places: dict[str, Location] = {}
    repeats = RepeatCounter()
    for location, record, problem in read_records(path, SHAPES):
        try:
            if record is None:
                raise FormatError(problem.found, problem.expected)
            parsed = [number_repeat(question_format, each, repeats) for each in question_format.parse_all(record)]
            for prompt in parsed:
                _validate_new_id(question_format, prompt, first_places)
        except FormatError as error:
            problems.append(Problem.at(problem.location if record is None else location, error.found, error.expected))
            if len(problems) > SHOWN_PROBLEMS:
                break
            continue
        first_places |= {prompt.prompt_id: location for prompt in parsed}
        prompts += parsed
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not prompts:
        raise InputError([Problem(str(path), None, "no questions", "at least one")])
    return prompts


def _validate_new_id(question_format: _PromptFormat, prompt: Prompt, first_places: Mapping[str, Location]) -> None:
    """Raise `FormatError` for an id that an earlier record has."""
    if prompt.prompt_id in first_places:
        repeated = f"{question_format.id_column} {abbreviate(prompt.prompt_id, quoted=False)} again"
        raise FormatError(f"{repeated} (first {first_places[prompt.prompt_id]})", "an id per prompt")


def number_repeat(question_format: _PromptFormat, prompt: Prompt, repeats: RepeatCounter) -> Prompt:
    """Add `.2`, `.3` … to an id that is made from the content, where the same content came before."""
    if question_format.id_column is not None:
        return prompt
    return replace(prompt, prompt_id=repeats.name(prompt.prompt_id))


def _read_rows(path: str | Path, format: str | None) -> list[Prompt]:
    from tunescope.rows import open_rows

    prompts = []
    for row in open_rows([str(path)], format):
        *_, (_, before, _) = row.turns()
        if row.media:
            raise InputError(
                [Problem(str(path), row.line, f"media (column {row.media[0][0]})", "questions in text only")]
            )
        if not before:
            found = "an answer that comes before any question"
            raise InputError([Problem.at(row.location, found, "a message before the last answer")])
        text = next((m.content or "" for m in reversed(before) if m.role == "user"), before[-1].content or "")
        prompts.append(Prompt(row.id, text, given=before, tools=row.tools, fields=row.fields))
    if not prompts:
        raise InputError([Problem(str(path), None, "no rows", "at least one")])
    return prompts


def read_records(path: str | Path, expected: str) -> Iterator[tuple[Location, dict[str, Any] | None, Problem]]:
    """Yield where a record is, the object, and the problem that there is where the object is None.

    Raises:
        InputError: a file that is missing or empty; it says that a file with `expected` was.
    """
    path = _require_file(path, expected)
    for record in read(path, recognise(path)):
        problem = record.problem or Problem(str(path), record.line, "no object", expected, record.record)
        yield Location(str(path), record.line, record.record), record.value, problem


def _require_file(path: str | Path, expected: str) -> Path:
    path = Path(path)
    if not path.is_file():
        found = "a directory" if path.is_dir() else missing(path)
        raise InputError([Problem(str(path), None, found, f"a file with {expected}")])
    return path
