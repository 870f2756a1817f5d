"""Answers: a model's responses to prompts, and the prompts they respond to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SHOWN_PROBLEMS, InputError, Problem
from tunescope.rows import Message
from tunescope.rows.containers import read, recognise

PROMPT_FORM = 'a line per prompt: {"prompt_id": "p1", "prompt": "…"}'
ANSWER_FORM = "an answer as tunescope writes it: prompt_id, prompt and text at least"


class Prompt(NamedTuple):
    """What a model is asked."""

    prompt_id: str
    prompt: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that the model continues."""
        return (Message("user", self.prompt),)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's response to a prompt.

    Attributes:
        answer_id: content hash of prompt id, conversation, text and model (16 hex digits).
        prompt_id: which prompt.
        prompt: its text.
        messages: the conversation that was answered.
        text: the response.
        token_ids: the response's tokens without the one that ended it; None where unknown.
        model: what made it.
        decoding: the settings that it was made with.
        finish_reason: `stop` (the model ended its turn), `length` (cut at the limit), or None.
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

    @classmethod
    def to(cls, prompt: Prompt, text: str, model: str, **known: Any) -> Answer:
        """Make the answer of `model` to `prompt`; `known` are the other fields."""
        return cls(_id(prompt, text, model), *prompt, prompt.messages, text, model=model, **known)

    def as_json(self) -> dict[str, Any]:
        """Return the object written to `answers.jsonl`."""
        return {
            "answer_id": self.answer_id,
            "prompt_id": self.prompt_id,
            "prompt": self.prompt,
            "messages": [{"role": m.role, "content": m.content} for m in self.messages],
            "text": self.text,
            "token_ids": None if self.token_ids is None else list(self.token_ids),
            "model": self.model,
            "decoding": dict(self.decoding),
            "finish_reason": self.finish_reason,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Answer:
        """Read what `as_json` gave; what is absent beside prompt_id, prompt and text is unknown.

        Raises:
            KeyError, TypeError: a field that is missing or of another type.
        """
        for name in ("prompt_id", "prompt", "text"):
            if not isinstance(record[name], str):
                raise TypeError(f"{name} is no text")
        prompt = Prompt(record["prompt_id"], record["prompt"])
        messages = tuple(Message(m["role"], m["content"]) for m in record.get("messages") or ()) or prompt.messages
        ids, model = record.get("token_ids"), record.get("model") or ""
        return cls(
            record.get("answer_id") or _id(prompt, record["text"], model),
            *prompt,
            messages,
            record["text"],
            None if ids is None else tuple(ids),
            model,
            record.get("decoding") or {},
            record.get("finish_reason"),
        )


def _id(prompt: Prompt, text: str, model: str) -> str:
    return blake2b(json.dumps([*prompt, text, model]).encode(), digest_size=8).hexdigest()


def read_answers(path: str | Path) -> Iterator[Answer]:
    """Yield the answers of a JSON-lines file.

    Raises:
        InputError: with the first line that holds no answer.
    """
    for line, record in _records(path, ANSWER_FORM):
        try:
            yield Answer.from_json(record)
        except (KeyError, TypeError) as error:
            raise InputError([Problem(str(path), line, f"no answer ({error})", ANSWER_FORM)]) from error


def read_prompts(path: str | Path) -> list[Prompt]:
    """Read prompts from JSON lines (or a JSON array) with `prompt_id` and `prompt`.

    Raises:
        InputError: one report of every line that has no prompt, or an id that was there before.
    """
    prompts: list[Prompt] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for line, record in _records(path, PROMPT_FORM):
        ident, text = record.get("prompt_id"), record.get("prompt")
        if not isinstance(ident, str) or not ident or not isinstance(text, str) or not text.strip():
            problems.append(Problem(str(path), line, f"columns {', '.join(record) or 'none'}", PROMPT_FORM))
        elif ident in seen:
            found = f"prompt_id {ident} again (first in line {seen[ident]})"
            problems.append(Problem(str(path), line, found, "an id per prompt"))
        else:
            seen[ident] = line
            prompts.append(Prompt(ident, text))
        if len(problems) > SHOWN_PROBLEMS:
            break
    if problems:
        raise InputError(problems, "Mend the file and type the same command.")
    return prompts


def _records(path: str | Path, expected: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and object; refuse a file that is missing, empty or not JSON."""
    path = Path(path)
    if not path.is_file():
        found = "a directory" if path.is_dir() else "no such file"
        raise InputError([Problem(str(path), None, found, f"a file with {expected}")])
    for record in read(path, recognise(path)):
        if record.value is None:
            raise InputError([record.problem or Problem(str(path), record.line, "no object", expected)])
        yield record.line, record.value
