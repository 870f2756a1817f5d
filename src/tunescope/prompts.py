"""Prompts: what a model is asked, read from the question files and row files that people have.

Question files are records (JSON lines or an array) of one of `FORMATS`; what is none of them is read as
rows, whose last assistant turn is what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem, SettingsError
from tunescope.rows import Message
from tunescope.rows.containers import BOM_FOUND, read, recognise
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate, kind, list_columns
from tunescope.rows.row import Json, RepeatCounter, content_id

TAGS = (
    *("math", "coding", "writing", "info-seek", "role-play", "procedure", "reasoning", "stem", "humanities"),
    *("lifestyle", "finance", "medical", "nature", "ethics", "malicious"),
)
"""The true-or-false columns of just-eval's tags file."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked.

    Attributes:
        prompt_id: the file's own id, or a hash of the content (as rows have) where it gives none.
        prompt: the question's text.
        later: questions that follow it, each asked after the model's own answer to the one before.
        given: the conversation that the model continues, where it is more than the prompt.
        tools: tool declarations that go with it.
        fields: the source record, where the prompt comes from a row.
        meta: what the file says about the question (category, data set, tags); kept on its answers.
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
        """Return the conversation that the model continues after its own `answers` to the questions before."""
        said = (Message("assistant", text) for text in answers)
        then = (Message("user", text) for text in self.later)
        return (*self.messages, *chain.from_iterable(zip(said, then, strict=False)))


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """A kind of question file.

    Attributes:
        name: what `--format` calls it.
        shape: how a record looks, for messages.
        ident: the column with the id; None: the id is made from the content.
        text: the columns that may hold the question: a text, or a list of questions asked in turn.
        marks: columns of which one at least tells this form from others; none: `ident` and `text` do.
        without: columns that a record of this form can't have.
        meta: the columns that go to `Prompt.meta`; None: all others.
    """

    name: str
    shape: str
    ident: str | None
    text: tuple[str, ...]
    marks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    meta: tuple[str, ...] | None = None

    def fits(self, record: Mapping[str, Json]) -> bool:
        """Tell whether a record looks like one of this form."""
        there = self.ident in record if self.ident is not None else any(name in record for name in self.text)
        marked = not self.marks or any(name in record for name in self.marks)
        return there and marked and not any(record.get(name) not in (None, "") for name in self.without)

    def parse(self, record: Mapping[str, Json]) -> Prompt:
        """Read one record; a prompt of a form without ids has the hash of its text as id.

        Raises:
            FormatError: no question in it, or no id.
        """
        column = next((name for name in self.text if name in record), None)
        if column is None:
            raise FormatError(f"columns {list_columns(record)}", self.shape)
        value = record[column]
        questions = value if isinstance(value, list) and value else [value]
        for question in questions:
            if not isinstance(question, str) or not question.strip():
                found = kind(question) if not isinstance(question, str) else "a blank text"
                raise FormatError(f"{found} in column {abbreviate(column)}", self.shape)
        names = self.meta if self.meta is not None else [n for n in record if n not in (self.ident, column)]
        meta = {name: record[name] for name in names if record.get(name) is not None}
        tags = [name for name in TAGS if record.get(name) is True]
        if tags:
            meta["tags"] = tags
        return Prompt(self._ident(record, questions), questions[0], tuple(questions[1:]), meta=meta)

    def _ident(self, record: Mapping[str, Json], questions: Sequence[str]) -> str:
        if self.ident is None:
            return content_id(tuple(Message("user", text) for text in questions))
        value = record.get(self.ident)
        if (isinstance(value, str) and value) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise FormatError(f"no id in column {abbreviate(self.ident)} (columns: {list_columns(record)})", self.shape)


FORMATS = (
    PromptFormat("prompts", '{"prompt_id": "p1", "prompt": "…"}', "prompt_id", ("prompt",)),
    PromptFormat(
        "mt_bench",
        '{"question_id": 81, "category": "…", "turns": ["…"]} (or "text")',
        "question_id",
        ("turns", "text"),
        meta=("category",),
    ),
    PromptFormat(
        "wizardlm",
        '{"idx": 1, "Skill": "…", "Difficulty": 1, "Instruction": "…"}',
        "idx",
        ("Instruction",),
        meta=("Skill", "Difficulty"),
    ),
    PromptFormat(
        "just_eval",
        '{"id": 0, "instruction": "…", "source_id": "…"} (or with its tags)',
        "id",
        ("instruction",),
        marks=("source_id", "info-seek"),
        meta=("dataset", "category", "source_id"),
    ),
    PromptFormat(
        "medinstruct",
        '{"id": 0, "instruction": "…", "difficulty": "3"}',
        "id",
        ("instruction",),
        marks=("difficulty",),
        without=("input", "output", "response"),
        meta=("difficulty",),
    ),
    PromptFormat(
        "alpaca_eval",
        '{"instruction": "…", "dataset": "…"} (or with output and generator)',
        None,
        ("instruction",),
        marks=("dataset", "generator"),
        without=("input",),
        meta=("dataset",),
    ),
)
"""The question files, in the order in which they are tried."""
SHAPES = "a question, such as " + ", ".join(form.shape for form in FORMATS) + ", or a row"


def detect_format(record: Mapping[str, Json]) -> PromptFormat | None:
    """Return the form that a record looks like, or None."""
    return next((form for form in FORMATS if form.fits(record)), None)


def read_prompts(path: str | Path, format: str | None = None) -> list[Prompt]:
    """Read a question file or a row file; the form is recognised by the first record where `format` is None.

    Raises:
        InputError: one report of every record without a question, or with an id that was there before.
        SettingsError: an unknown format.
    """
    from tunescope.rows import layout

    named = {form.name: form for form in FORMATS}
    if format is not None and format not in named:
        known = ", ".join([*named, *layout.format_modules()])
        try:
            return _from_rows(path, layout.resolve_format(format))
        except SettingsError as error:
            raise SettingsError(f"--format {format!r}: expected one of {known}") from error
    form = named[format] if format is not None else None
    prompts: list[Prompt] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    repeats = RepeatCounter()
    for line, record, problem in records(path, SHAPES):
        if record is None:
            problems.append(problem)
        else:
            form = form or detect_format(record)
            if form is None:
                _refuse_unless_row(path, line, record)
                return _from_rows(path, None)
            try:
                prompt = form.parse(record)
            except FormatError as error:
                problems.append(Problem(str(path), line, error.found, error.expected))
            else:
                if form.ident is None:
                    prompt = number_repeat(prompt, repeats)
                if prompt.prompt_id in seen:
                    found = f"{form.ident} {abbreviate(prompt.prompt_id, quoted=False)} again"
                    found += f" (first in line {seen[prompt.prompt_id]})"
                    problems.append(Problem(str(path), line, found, "an id per prompt"))
                else:
                    seen[prompt.prompt_id] = line
                    prompts.append(prompt)
        if len(problems) > SHOWN_PROBLEMS:
            break
    if problems:
        raise InputError(problems, "Fix the file and type the same command.")
    if not prompts:
        raise InputError([Problem(str(path), None, "no questions", "at least one")])
    return prompts


def number_repeat(prompt: Prompt, repeats: RepeatCounter) -> Prompt:
    """Return the prompt with `.2`, `.3` … behind its id where the same content was there before."""
    ident = repeats.name(prompt.prompt_id)
    return prompt if ident == prompt.prompt_id else replace(prompt, prompt_id=ident)


def _refuse_unless_row(path: str | Path, line: int, record: Mapping[str, Json]) -> None:
    from tunescope.rows import layout

    try:
        layout.detect(record, None, {})
    except FormatError as error:
        raise InputError([Problem(str(path), line, error.found, SHAPES)], "Name its form with --format.") from error


def _from_rows(path: str | Path, format: str | None) -> list[Prompt]:
    from tunescope.rows import open_rows

    prompts = []
    for row in open_rows([str(path)], format):
        *_, (_, before, _) = row.turns()
        if not before:
            found = "an answer that comes before any question"
            raise InputError([Problem(str(path), row.line, found, "a message before the last answer")])
        text = next((m.content or "" for m in reversed(before) if m.role == "user"), before[-1].content or "")
        prompts.append(Prompt(row.id, text, given=before, tools=row.tools, fields=row.fields))
    if not prompts:
        raise InputError([Problem(str(path), None, "no rows", "at least one")])
    return prompts


def records(path: str | Path, expected: str) -> Iterator[tuple[int, dict[str, Any] | None, Problem]]:
    """Yield line, object and what is wrong with it where that is None; refuse a file that is missing or empty.

    Raises:
        InputError: with `expected` in it.
    """
    path = Path(path)
    if not path.is_file():
        found = "a directory" if path.is_dir() else "no such file"
        raise InputError([Problem(str(path), None, found, f"a file with {expected}")])
    for record in read(path, recognise(path)):
        problem = record.problem or Problem(str(path), record.line, "no object", expected)
        if record.value is not None or problem.found != BOM_FOUND:
            yield record.line, record.value, problem
