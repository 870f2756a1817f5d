"""What a misbehaviour is, and the few shapes in which servers misbehave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from tunescope.oracle.hostile.server import Said, completion

PIECE = "zzpiece"
"""A word in what was cut off; it may stand in no row, answer or verdict."""
THOUGHT = "zzthought"
"""A word in what a model thinks; it may stand in no row, answer or verdict."""

Gives = Literal[
    "same",
    "again",
    "open",
    "row",
    "cut",
    "refused",
    "unread",
    "key",
    "account",
    "model",
    "server",
    "page",
    "after some",
]
GIVES: Mapping[Gives, str] = {
    "same": "is parsed like a normal reply",
    "again": "the call is made again; nothing is lost",
    "open": "that row stays open, and the others go on; the same command asks only for it",
    "row": "that row fails and is settled; the others go on",
    "cut": "the reply counts as cut off; nothing of what was cut is used",
    "refused": "the reply counts as a refusal",
    "unread": "the reply is unparsed; nothing of it is used",
    "key": "the run stops at the first, and says what is wrong with the key",
    "account": "the run stops at the first, and says that the account doesn't pay",
    "model": "the run stops at the first, and says that the model's name is wrong",
    "server": "the run waits and says so, then stops; the same command continues",
    "page": "the run stops at the first, and says that this isn't an API's address",
    "after some": "what was answered before is kept, and the run stops; the same command continues",
}
"""What tunescope makes of a misbehaviour, as sentences say it."""
When = Literal["always", "first", "one"]
"""always: every call; first: the first call of each prompt; one: calls about one row only."""


class Asked(NamedTuple):
    """A call that is to be answered badly.

    Attributes:
        body: as it came.
        text: what an honest server would have said.
        number: which call to the server it is, from 1.
        key: the API key that came with it; "" for none.
    """

    body: Mapping[str, Any]
    text: str
    number: int
    key: str


class Misbehaviour(NamedTuple):
    """One way to misbehave.

    Attributes:
        name: what it is called.
        sends: what the server does, as a sentence without its subject.
        source: where that was seen: a report (owner/repository#number) or the page that documents it.
        says: what is sent instead of an honest reply.
        gives: what it must give.
        when: which calls are answered so.
    """

    name: str
    sends: str
    source: str
    says: Callable[[Asked], Said]
    gives: Gives
    when: When = "always"


def error(status: int, message: str, /, *headers: tuple[str, str], **more: Any) -> Callable[[Asked], Said]:
    """Return what sends an error in OpenAI's form; `more` are fields beside its message."""
    return lambda asked: Said({"error": {"message": message, **more}}, status, headers)


def page(status: int, title: str, *headers: tuple[str, str]) -> Callable[[Asked], Said]:
    """Return what sends a web page."""
    html = f"<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n"
    return lambda asked: Said(html.encode(), status, (("content-type", "text/html; charset=utf-8"), *headers))


def body(content: Any, status: int = 200, length: int | None = None) -> Callable[[Asked], Said]:
    """Return what sends a body, bytes as they are."""
    return lambda asked: Said(content, status, length=length)


def text(change: Callable[[Asked], Any], finish_reason: str | None = "stop", **more: Any) -> Callable[[Asked], Said]:
    """Return what sends a reply with another text; `more` are fields beside its choices."""
    return lambda asked: Said(completion(change(asked), finish_reason, **more))


def message(change: Callable[[Asked], Mapping[str, Any]], finish_reason: str = "stop") -> Callable[[Asked], Said]:
    """Return what sends a reply with a message that has other fields than a text."""

    def says(asked: Asked) -> Said:
        reply = completion("", finish_reason)
        reply["choices"][0]["message"] = {"role": "assistant", **change(asked)}
        return Said(reply)

    return says


def whole(asked: Asked) -> str:
    """Return the honest text."""
    return asked.text


def cut(asked: Asked) -> str:
    """Return the honest text's beginning, in the midst of what counts, with a piece behind that nobody may use."""
    place = 2 * len(asked.text) // 3 if asked.text.startswith("<") else 5
    return f"{asked.text[:place]} {PIECE}"
