"""Answers: a model's responses to prompts, saved one by one as they come, in our format and AlpacaEval's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tunescope.errors import InputError, Problem, RunError, SettingsError
from tunescope.foreign import dump_json
from tunescope.progress import say
from tunescope.prompts import Prompt, detect_format, number_repeat, read_prompts, read_records
from tunescope.rows import Message
from tunescope.rows.conversation import FormatError
from tunescope.rows.json_text import abbreviate, kind, list_columns
from tunescope.rows.packing import without_packing
from tunescope.rows.row import RepeatCounter
from tunescope.runs.sums import sealed, unsealed

ANSWERS_FILE = "answers.jsonl"
"""The file of a run folder that holds its answers."""
_ANSWER_SHAPE = (
    "an answer as tunescope writes it (prompt_id, prompt and text at least) or as AlpacaEval has it "
    "(instruction, output, generator), FastChat (question_id, model_id, choices) or lm-eval (doc_id, arguments, resps)"
)

_TEXT_COLUMNS = ("output", "response", "answer", "completion", "text", "generation")
"""Columns that may hold an answer's text, beside its question."""


class Place(NamedTuple):
    """Which answer it is: its prompt, the number of its question there, and the number of its sample (both from 0)."""

    prompt_id: str
    turn: int
    sample: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's response to a prompt.

    Attributes:
        answer_id: content hash of prompt id, conversation, text, model, turn and sample (16 hex digits).
        prompt_id: which prompt.
        prompt: the text of the question that it answers.
        messages: the conversation that was answered.
        text: the response.
        token_ids: the tokens of thinking and response without the one that ended it; None where unknown.
        model: the model that made it.
        decoding: its decoding settings.
        finish_reason: `stop` (the model ended its turn), `length` (cut at the limit), a server's own word, or None.
        turn: which of the prompt's questions, from 0.
        sample: which of several samples, from 0.
        usage: `prompt_tokens` and `completion_tokens`, as counted here or by the server; None where unknown.
        meta: what the prompt's file adds to the question.
        thinking: the model's thoughts before the text; None for none.
    """

    answer_id: str
    prompt_id: str
    prompt: str
    messages: tuple[Message, ...]
    text: str
    token_ids: tuple[int, ...] | None = None
    model: str = ""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    turn: int = 0
    sample: int = 0
    usage: Mapping[str, int] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    thinking: str | None = None

    @classmethod
    def to(
        cls, prompt: Prompt, text: str, model: str, before: Sequence[str] = (), sample: int = 0, **other_fields: Any
    ) -> Answer:
        """Make the answer of `model` to `prompt`, or to its next question after the answers `before`.

        `other_fields` are fields of `Answer` that don't follow from these.
        """
        turn = len(before)
        messages = prompt.conversation_after(before)
        question = prompt.later[turn - 1] if turn else prompt.prompt
        answer_id = _id(prompt.prompt_id, messages, text, model, turn, sample)
        values = {"model": model, "turn": turn, "sample": sample, "meta": prompt.meta, **other_fields}
        return cls(answer_id, prompt.prompt_id, question, messages, text, **values)

    @property
    def asked(self) -> str:
        """What was answered: the question, or the whole conversation with who said what."""
        if len(self.messages) == 1 and self.messages[0].role == "user":
            return self.messages[0].content or ""
        return "\n\n".join(f"[{message.role}]\n{message.content or ''}" for message in self.messages)

    @property
    def place(self) -> Place:
        """Which answer it is."""
        return Place(self.prompt_id, self.turn, self.sample)

    def as_json(self) -> dict[str, Any]:
        """Return the object written to `answers.jsonl`."""
        return {
            "answer_id": self.answer_id,
            "prompt_id": self.prompt_id,
            "turn": self.turn,
            "sample": self.sample,
            "prompt": self.prompt,
            "messages": [_message_json(message) for message in self.messages],
            **({} if self.thinking is None else {"thinking": self.thinking}),
            "text": self.text,
            "token_ids": None if self.token_ids is None else list(self.token_ids),
            "model": self.model,
            "decoding": dict(self.decoding),
            "finish_reason": self.finish_reason,
            "usage": None if self.usage is None else dict(self.usage),
            "meta": dict(self.meta),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Answer:
        """Read what `as_json` gave; only prompt_id, prompt and text are required.

        Raises:
            KeyError, TypeError: a field that is missing or of another type.
        """
        for name in ("prompt_id", "prompt", "text"):
            if not isinstance(record[name], str):
                raise TypeError(f"{name} isn't text")
        messages = tuple(map(_message, record.get("messages") or ()))
        messages = messages or Prompt(record["prompt_id"], record["prompt"]).messages
        ids, model = record.get("token_ids"), record.get("model") or ""
        turn, sample = record.get("turn") or 0, record.get("sample") or 0
        return cls(
            record.get("answer_id") or _id(record["prompt_id"], messages, record["text"], model, turn, sample),
            record["prompt_id"],
            record["prompt"],
            messages,
            record["text"],
            None if ids is None else tuple(ids),
            model,
            record.get("decoding") or {},
            record.get("finish_reason"),
            turn,
            sample,
            record.get("usage"),
            record.get("meta") or {},
            record.get("thinking"),
        )


def _message_json(message: Message) -> dict[str, Any]:
    more = {f.name: getattr(message, f.name) for f in fields(message)[2:]}
    given = {name: value for name, value in more.items() if value is not None and value != ()}
    return {"role": message.role, "content": message.content, **given}


def _message(record: Mapping[str, Any]) -> Message:
    more = {name: value for name, value in record.items() if name not in ("role", "content")}
    if "tool_calls" in more:
        more["tool_calls"] = tuple(more["tool_calls"])
    return Message(record["role"], record["content"], **more)


def _id(prompt_id: str, messages: Sequence[Message], text: str, model: str, turn: int, sample: int) -> str:
    content = [prompt_id, [_message_json(message) for message in messages], text, model, turn, sample]
    return blake2b(json.dumps(content, default=str).encode(), digest_size=8).hexdigest()


def read_answers(path: str | Path) -> Iterator[Answer]:
    """Yield the answers of a file of ours, or of one that others made (docs/reference/question-files.md).

    Raises:
        InputError: with the first record that holds no answer.
    """
    reader = _OthersAnswers(Path(path))
    for location, record, problem in read_records(path, _ANSWER_SHAPE):
        if record is None:
            raise InputError([problem])
        try:
            if {"prompt_id", "prompt", "text"} <= record.keys():
                yield Answer.from_json(record)
            else:
                yield from reader.read(record)
        except FormatError as error:
            raise InputError([Problem.at(location, error.found, error.expected)]) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError([Problem.at(location, f"no answer ({error})", _ANSWER_SHAPE)]) from error


class _OthersAnswers:
    """Reads the records of a file of answers that another program made."""

    def __init__(self, path: Path) -> None:
        """Remember the file: its name stands for the model where no record names one."""
        self._path = path
        self._model = Path(without_packing(path.name)).stem
        self._repeats = RepeatCounter()
        self._questions: dict[str, Prompt] | None = None

    def read(self, record: Mapping[str, Any]) -> Iterator[Answer]:
        """Yield the record's answers.

        Raises:
            FormatError, TypeError, KeyError: no question, or no answer.
        """
        if {"question_id", "choices"} <= record.keys():
            yield from self._read_choices(record)
        elif {"doc_id", "resps", "arguments"} <= record.keys():
            yield from self._read_sample(record)
        else:
            yield self._read_output(record)

    def _read_output(self, record: Mapping[str, Any]) -> Answer:
        """Read a question and its answer in columns: AlpacaEval's and just-eval's outputs, CSV files."""
        column = next((name for name in _TEXT_COLUMNS if name in record), None)
        if column is None:
            raise FormatError(f"the columns {list_columns(record)}", _ANSWER_SHAPE)
        text = record[column]
        if not isinstance(text, str):
            raise FormatError(f"{kind(text)} in column {abbreviate(column)}", "the answer's text")
        question = {name: value for name, value in record.items() if name != column}
        question_format = detect_format(question)
        if question_format is None:
            raise FormatError(f"no question (columns: {list_columns(record)})", _ANSWER_SHAPE)
        prompt = number_repeat(question_format, question_format.parse(question), self._repeats)
        return Answer.to(prompt, text, str(record.get("generator") or record.get("model") or self._model))

    def _read_choices(self, record: Mapping[str, Any]) -> Iterator[Answer]:
        """Read FastChat's `model_answer`, which has its questions in `question.jsonl` one folder up."""
        if self._questions is None:
            self._questions = self._read_questions()
        prompt = self._questions.get(str(record["question_id"]))
        if prompt is None:
            raise FormatError(f"no question {record['question_id']} in {self._question_file}", "its question")
        for sample, choice in enumerate(record["choices"]):
            for turn, text in enumerate(choice["turns"]):
                before = choice["turns"][:turn]
                yield Answer.to(prompt, text, str(record.get("model_id") or self._model), before, sample)

    @property
    def _question_file(self) -> Path:
        return self._path.resolve().parent.parent / "question.jsonl"

    def _read_questions(self) -> dict[str, Prompt]:
        if not self._question_file.is_file():
            expected = f"the questions in {self._question_file}, where FastChat has them"
            raise FormatError("answers without their questions", expected)
        return {prompt.prompt_id: prompt for prompt in read_prompts(self._question_file)}

    def _read_sample(self, record: Mapping[str, Any]) -> Iterator[Answer]:
        """Read a sample that lm-eval logged of a task that generates text."""
        arguments = record["arguments"]
        calls = [*arguments.values()] if isinstance(arguments, Mapping) else arguments
        parts = [[*call.values()] if isinstance(call, Mapping) else call for call in calls]
        if len(parts) == 1 and not (isinstance(parts[0], list) and parts[0] and record["resps"] and record["resps"][0]):
            raise FormatError("no question or no reply", "a task that generates text (generate_until)")
        if len(parts) != 1 or not isinstance(record["resps"][0][0], str):
            raise FormatError("log-likelihoods of given answers", "a task that generates text (generate_until)")
        prompt = Prompt(str(record["doc_id"]), str(parts[0][0]))
        for sample, text in enumerate(record["resps"][0]):
            yield Answer.to(prompt, text, self._model, sample=sample)


def answers_file(name: str) -> Path:
    """Return the answers of a run folder, or the path itself where it isn't a folder.

    Raises:
        RunError: a folder without answers.
    """
    path = Path(name)
    if not path.is_dir():
        return path
    if (path / ANSWERS_FILE).is_file():
        return path / ANSWERS_FILE
    raise RunError(f"{path}: found no {ANSWERS_FILE}; expected a run folder that has one, or a file")


def read_typed(text: str, option: str, pipe: BinaryIO) -> str:
    """Return a text that was typed as an option's value, or for `-` the pipe's, without white space around it.

    Raises:
        SettingsError: an empty text, or one that isn't UTF-8.
    """
    where = "the pipe" if text == "-" else option
    try:
        content = pipe.read().decode() if text == "-" else text
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where} isn't valid UTF-8 ({error.reason}); expected a sentence") from error
    if not content.strip():
        raise SettingsError(f"{where} has no text; expected a sentence")
    return content.strip()


def holds_answers(path: str | Path) -> bool:
    """Return whether a file's first record is an answer."""
    try:
        _, record, _ = next(read_records(path, _ANSWER_SHAPE))
    except (InputError, OSError, StopIteration):
        return False
    if record is None:
        return False
    return {"prompt_id", "prompt", "text"} <= record.keys() or {"instruction", "output", "generator"} <= record.keys()


def model_outputs(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Return answers in AlpacaEval's format: for each prompt, the first sample's answer to the first question."""
    return [
        {
            **({"dataset": answer.meta["dataset"]} if "dataset" in answer.meta else {}),
            "instruction": answer.prompt,
            "output": answer.text,
            "generator": answer.model,
        }
        for answer in answers
        if answer.turn == answer.sample == 0
    ]


class RecordLog:
    """A file of JSON lines to which records are added one by one, so that a killed run loses none.

    Iterating yields the records that were there at opening. A last line that a kill cut short is removed, and so is
    what was damaged since: each line ends in a sum of it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it."""
        whole = path.read_bytes() if path.is_file() else b""
        lines = whole[: whole.rfind(b"\n") + 1].split(b"\n")[:-1]
        self._records = []
        sound: list[bytes] = []
        for line in lines:
            with suppress(ValueError):
                self._records.append(_read_sealed(line))
                sound.append(line + b"\n")
        if len(sound) < len(lines):
            say(f"{path}: found {len(lines) - len(sound)} damaged of {len(lines)} records; they are made again")
            part = path.with_name(f"{path.name}.part")
            part.write_bytes(b"".join(sound))
            os.replace(part, path)
        self._file = path.open("r+b" if path.is_file() else "w+b")
        self._file.truncate(sum(map(len, sound)))
        self._file.seek(0, os.SEEK_END)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records that were there at opening."""
        return iter(self._records)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record; it is on disk before this returns."""
        self._file.write(sealed(dump_json(record).encode()))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_sealed(line: bytes) -> dict[str, Any]:
    """Return the record of a line; raises `ValueError` where the line is damaged."""
    text = unsealed(line)
    record = None if text is None else json.loads(text)
    if not isinstance(record, dict):
        raise ValueError
    return record
