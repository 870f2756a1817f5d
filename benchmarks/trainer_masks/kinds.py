"""What differs between two ways to supervise a row, token by token, named by kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

IGNORED = -100
KINDS = {
    "row_refused": "the trainer stops with an error",
    "row_dropped": "the trainer leaves the row out",
    "we_refuse": "tune leaves the row out, with its reason, and the trainer trains on it",
    "one_sequence": "one sequence where tune makes several, because the template writes earlier turns differently",
    "nothing_supervised": "no token is supervised",
    "everything_supervised": "every token is supervised, the prompt too",
    "system_supervised": "the system message is supervised",
    "user_supervised": "a user's message is supervised",
    "tool_reply_supervised": "a tool's reply is supervised",
    "header_supervised": "what the template writes before an answer is supervised",
    "line_break_supervised": "whitespace after the end of the turn is supervised, although the model never writes it",
    "trailing_supervised": "text after the end of the last turn is supervised, such as an eos token",
    "answer_not_supervised": "the last answer isn't supervised",
    "earlier_turn_not_supervised": "an earlier answer isn't supervised",
    "first_token_lost": "an answer's first tokens aren't supervised",
    "last_token_lost": "an answer's last tokens aren't supervised",
    "thinking_not_supervised": "the thinking isn't supervised",
    "call_not_supervised": "a tool call isn't supervised",
    "end_not_supervised": "the token that ends the turn isn't supervised",
    "markup_not_supervised": "what the template writes inside an answer isn't supervised",
    "double_bos": "the row begins with two bos tokens",
    "bos_added": "the row begins with a bos token, which the template doesn't write",
    "bos_missing": "the bos token that the template writes is missing",
    "beginning_differs": "text before the first user message differs: a system prompt was added or left out",
    "message_dropped": "a message is missing from the training text",
    "thinking_dropped": "the thinking is missing from the training text",
    "call_dropped": "the tool call is missing from the training text",
    "cut_otherwise": "the row is cut at a different place",
    "rendered_otherwise": "the same messages are rendered differently",
}
"""Each kind of difference, and what it means."""


class Sequence_(NamedTuple):
    """Token ids and whether each is supervised."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]


class Reader(NamedTuple):
    """How a case's ids are read: as text, and which of them mean something.

    Attributes:
        header: what the template writes before an answer, without the white space around it.
    """

    decode: Callable[[Sequence[int]], str]
    stop_ids: frozenset[int]
    bos_id: int | None
    header: str


def differences(reader: Reader, row: dict[str, Any], ours: Sequence[Sequence_], theirs: Sequence_) -> list[str]:
    """Return the kinds of difference between our sequences of a row and a trainer's one, in the order of `KINDS`."""
    if not any(theirs.supervised):
        return ["nothing_supervised"] if ours else []
    found = set()
    if not ours:
        found.add("we_refuse")
    if len(ours) > 1:
        found.add("one_sequence")
    if len(ours) == 1 and theirs.ids[: len(ours[0].ids)] == ours[0].ids:
        expected = ours[0].supervised + (False,) * (len(theirs.ids) - len(ours[0].ids))
        parts = _parts(reader, row, theirs.ids)
    else:
        parts = _parts(reader, row, theirs.ids)
        expected = tuple(part.partition(" ")[0] in ("answer", "thinking", "call", "inside", "end") for part in parts)
        if len(ours) == 1:
            found |= set(_of_text(reader, row, ours[0].ids, theirs.ids))
    if all(theirs.supervised) and not all(expected):
        found.add("everything_supervised")
    else:
        found |= set(_of_masks(parts, expected, theirs.supervised))
    return [kind for kind in KINDS if kind in found]


def _parts(reader: Reader, row: dict[str, Any], ids: tuple[int, ...]) -> list[str]:
    """Return which part of the conversation each token is of: `user`, `answer 1`, `end`, `header` …"""
    text, starts = _read(reader, ids)
    labels = ["header"] * (len(text) + 1)
    place, turn = 0, 0
    for message in row["messages"]:
        if message["role"] != "assistant":
            begin = text.find(message["content"], place)
            if begin >= 0:
                place = begin + len(message["content"])
                labels[begin:place] = [{"tool": "tool_reply"}.get(message["role"], message["role"])] * (place - begin)
            continue
        turn += 1
        place = _label_turn(reader, message, turn, text, place, labels, ids, starts)
    labels[place:] = ["tail" if label == "header" else label for label in labels[place:]]
    return [_label(labels, ids, starts, number) for number in range(len(ids))]


def _read(reader: Reader, ids: Sequence[int]) -> tuple[str, list[int]]:
    """Return the text of byte-level tokens and the place where each begins, and the text's end at last."""
    text, starts, pending = "", [], []
    for i in ids:
        starts.append(len(text))
        pending.append(i)
        piece = reader.decode(pending)
        if not piece.endswith("\ufffd"):  # the bytes of a character may be several tokens
            text, pending = text + piece, []
    text += reader.decode(pending) if pending else ""
    return text, [*starts, len(text)]


def _label_turn(reader, message, turn, text, place, labels, ids, starts) -> int:
    """Label an assistant's turn from its header to its end; return the place behind it."""
    found = text.find(reader.header, place) if reader.header else -1
    wanted = [(message.get("reasoning_content"), f"thinking {turn}"), (message["content"], f"answer {turn}")]
    wanted += [(call["function"]["name"], f"call {turn}") for call in message.get("tool_calls", ())]
    spans = [(text.find(part, place), part, label) for part, label in wanted if part]
    spans = [(begin, begin + len(part), label) for begin, part, label in spans if begin >= 0]
    first = min((begin for begin, _, _ in spans), default=len(text))
    if found >= 0 and found <= first:
        begin = found + len(reader.header)
        begin += len(text[begin:]) - len(text[begin:].lstrip())
        begin = min(begin, first)
    elif spans:
        begin = first
    else:
        return place
    last = max((end for _, end, _ in spans), default=begin)
    stop = next((n for n, i in enumerate(ids) if i in reader.stop_ids and starts[n] >= last), None)
    end = starts[stop] if stop is not None else last
    labels[begin:end] = [f"{'call' if message.get('tool_calls') else 'inside'} {turn}"] * (end - begin)
    for start, finish, label in spans:
        labels[start:finish] = [label] * (finish - start)
    if stop is None:
        return last
    labels[end : starts[stop + 1]] = [f"end {turn}"] * (starts[stop + 1] - end)
    behind = re.match(r"\s*", text[starts[stop + 1] :])
    assert behind is not None
    finish = starts[stop + 1] + behind.end()
    labels[starts[stop + 1] : finish] = ["break"] * behind.end()
    return starts[stop + 1]


def _label(labels, ids, starts, number) -> str:
    """Return a token's part; a token over several parts is of the first that isn't a header."""
    inside = labels[starts[number] : starts[number + 1]] or labels[starts[number] : starts[number] + 1]
    return next((label for label in inside if label != "header"), "header")


def _of_masks(parts: Sequence[str], expected: Sequence[bool], supervised: Sequence[bool]) -> Iterator[str]:
    """Yield what is supervised and shouldn't be, and the other way round."""
    last = max((int(part.split()[1]) for part in parts if part.startswith(("answer", "call", "end"))), default=0)
    for part, known in groupby(zip(parts, expected, supervised, strict=True), key=lambda each: each[0]):
        tokens = [(wanted, is_supervised) for _, wanted, is_supervised in known]
        if any(is_supervised and not wanted for wanted, is_supervised in tokens):
            name = part.partition(" ")[0]
            if name in ("system", "user", "tool_reply", "header"):
                yield f"{name}_supervised"
            else:
                yield "line_break_supervised" if name == "break" else "trailing_supervised"
        lost = [wanted and not is_supervised for wanted, is_supervised in tokens]
        if any(lost):
            yield _loss(part, lost, last)


def _loss(part: str, lost: Sequence[bool], last: int) -> str:
    name, _, turn = part.partition(" ")
    if name in ("thinking", "call", "end"):
        return f"{name}_not_supervised"
    if name != "answer":
        return "markup_not_supervised"
    if all(lost):
        return "answer_not_supervised" if int(turn) == last else "earlier_turn_not_supervised"
    return "first_token_lost" if lost[0] else "last_token_lost"


def _of_text(reader: Reader, row: dict[str, Any], ours: tuple[int, ...], theirs: tuple[int, ...]) -> Iterator[str]:
    """Yield how what is trained on differs, whatever is supervised."""
    bos = reader.bos_id
    if bos is not None and theirs[:2] == (bos, bos) != ours[:2]:
        yield "double_bos"
    elif bos is not None and (theirs[:1] == (bos,)) != (ours[:1] == (bos,)):
        yield "bos_added" if theirs[:1] == (bos,) else "bos_missing"
    a, b = reader.decode(ours), reader.decode(theirs)
    user = next(message["content"] for message in row["messages"] if message["role"] == "user")
    before = [_strip_bos(reader, text).partition(user)[0] for text in (a, b)]
    if before[0] != before[1]:
        yield "beginning_differs"
    dropped = []
    for message in row["messages"]:
        parts = [("message", message["content"]), ("thinking", message.get("reasoning_content"))]
        parts += [("call", call["function"]["name"]) for call in message.get("tool_calls", ())]
        dropped += [f"{name}_dropped" for name, part in parts if part and part in a and part not in b]
    yield from dropped
    behind = [text.partition(user)[2] for text in (a, b)]
    if behind[0] and behind[1] and not dropped and not behind[1].startswith(behind[0].rstrip()):
        yield "cut_otherwise" if behind[0].startswith(behind[1]) else "rendered_otherwise"


def _strip_bos(reader: Reader, text: str) -> str:
    bos = "" if reader.bos_id is None else reader.decode([reader.bos_id])
    while bos and text.startswith(bos):
        text = text.removeprefix(bos)
    return text
