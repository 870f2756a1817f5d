"""A conversation as token sequences, and an assistant turn in its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tunescope.rows import Message, Row


class Unrenderable(ValueError):
    """A conversation that the template can't render, or whose supervised tokens can't be established."""


class Inconsistent(Unrenderable):
    """No single sequence has every turn of the conversation as it was generated; `Chat.turns` gives one per turn."""


@dataclass(frozen=True, slots=True)
class SupervisedTokens:
    """A tokenised conversation: its token `ids` and, of the same length, whether each is `supervised`."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]

    @property
    def n_supervised(self) -> int:
        """How many tokens are trained on."""
        return sum(self.supervised)

    def cut(self, length: int) -> SupervisedTokens:
        """Return the first `length` tokens."""
        return SupervisedTokens(self.ids[:length], self.supervised[:length])


@dataclass(frozen=True, slots=True)
class TurnParts:
    """One assistant turn in the pieces that scoring needs, as token ids.

    Attributes:
        turn: its number, from 0.
        prompt_ids: what `Chat.prompt` gives for the messages before it.
        answer_ids: what the model writes behind the prompt, without what ends the turn. It holds all that
            the template puts there: an empty or full thinking block, tool calls, the blank of "ASSISTANT: ".
        header_ids: the header of the turn alone, the end of `prompt_ids`; where a token reaches from the last
            message into the header, the header's text tokenised alone.
        instruction_ids: the last user message's own text within `prompt_ids`, no template tokens; white space
            at its ends is left out. Empty where there is no such text.
        stop_id: the token that ends the turn.
    """

    turn: int
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    header_ids: tuple[int, ...]
    instruction_ids: tuple[int, ...]
    stop_id: int


class RenderedTurn(NamedTuple):
    """An assistant turn as text.

    Attributes:
        row: the row it is in.
        number: its number in the row, from 0.
        before: the messages before it.
        message: the turn itself.
        prompt: what the model is given: the messages before it and the header of its turn.
        ended: the same with its answer, as the template ends it.
    """

    row: Row
    number: int
    before: tuple[Message, ...]
    message: Message
    prompt: str
    ended: str


class SplitTurn(NamedTuple):
    """An assistant turn as token ids.

    Attributes:
        rendered: the turn as text.
        encoding: the tokenizer's encoding of the prompt, with its offsets.
        prompt: the ids that the model is given.
        answer: the ids of its answer.
        end: what ends the turn; the last is the token that the model stops at.
        rest: what the template writes behind that.
    """

    rendered: RenderedTurn
    encoding: Any
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    end: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """All of its ids, the prompt included."""
        return self.prompt + self.answer + self.end + self.rest

    @property
    def is_trained(self) -> bool:
        """Whether it is supervised: all turns are that aren't flagged `train` false."""
        return self.rendered.message.train is not False


def join_turns(turns: Sequence[SplitTurn]) -> SupervisedTokens | Unrenderable:
    """Return the last trained turn's sequence with all trained turns supervised, if it has each as it was generated."""
    trained = [turn for turn in turns if turn.is_trained]
    last = (trained or turns)[-1]
    for turn in trained:
        generated = turn.prompt + turn.answer + turn.end
        if last.ids[: len(generated)] != generated:
            number = turn.rendered.number
            return Inconsistent(f"turn {number}: the chat template renders it differently once more follows")
    return supervise(last, trained)


def supervise(last: SplitTurn, trained: Sequence[SplitTurn]) -> SupervisedTokens:
    """Return the sequence of the turn `last`, with the answers and ends of the `trained` turns supervised."""
    supervised = [False] * len(last.ids)
    for turn in trained:
        start, end = len(turn.prompt), len(turn.prompt) + len(turn.answer) + len(turn.end)
        supervised[start:end] = [True] * (end - start)
    return SupervisedTokens(last.ids, tuple(supervised))
