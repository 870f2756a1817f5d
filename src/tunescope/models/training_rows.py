"""Rows as they are trained on: token sequences, and which of their tokens the loss counts.

`tune` trains on them and `attribute` takes their gradients; both by this one rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tunescope.chat import Chat, SupervisedTokens
    from tunescope.rows import Row

IGNORED = -100
"""Label of a token that isn't supervised (torch's default)."""


class TrainingSequence(NamedTuple):
    """A token sequence to train on.

    Attributes:
        ids: its token ids.
        labels: of the same length: the token id where it is supervised, else `IGNORED`.
        noise: the name that seeds its NEFTune noise.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    noise: str = ""

    @property
    def n_supervised(self) -> int:
        """How many of its tokens the loss counts."""
        return sum(label != IGNORED for label in self.labels[1:])


EMPTY_SEQUENCE = TrainingSequence((0,), (IGNORED,))
"""The sequence of a process that has no row in a step."""


class Example(NamedTuple):
    """A row as it is trained on.

    It is one sequence, or one per turn where the chat template renders an earlier turn differently once more follows.

    Attributes:
        row_id: the row's id.
        parts: its sequences; none where it isn't trained on.
        n_tokens: tokens before cutting.
        reason: why it isn't trained on, or not as it is; "" where nothing is to be said.
        is_preference: whether it has a rejected response, which isn't trained on.
    """

    row_id: str
    parts: tuple[SupervisedTokens, ...]
    n_tokens: int
    reason: str = ""
    is_preference: bool = False

    @property
    def n_supervised(self) -> int:
        """How many of its tokens are supervised."""
        return sum(part.n_supervised for part in self.parts)

    @property
    def length(self) -> int:
        """How many tokens its sequences have, at least 1."""
        return max(1, sum(len(part.ids) for part in self.parts))

    @property
    def truncated(self) -> bool:
        """Whether its end is cut off."""
        return bool(self.parts) and sum(len(part.ids) for part in self.parts) < self.n_tokens


def examples(chat: Chat, rows: Iterable[Row], max_length: int) -> Iterator[Example]:
    """Yield an example per row, in order."""
    from tunescope.chat import Inconsistent, Unrenderable

    rows = list(rows)
    for row, rendered in zip(rows, chat.rows(rows), strict=True):
        try:
            if isinstance(rendered, Inconsistent):
                sequences = chat.turns(row)
            elif isinstance(rendered, Unrenderable):
                raise rendered
            else:
                sequences = [rendered]
        except Unrenderable as error:
            yield Example(row.id, (), 0, str(error), bool(row.rejected))
            continue
        yield _cut(row, sequences, max_length)._replace(is_preference=bool(row.rejected))


class TokenCount(NamedTuple):
    """How many tokens of a row training reads, and how many of them are supervised; 0 where it isn't trained on.

    Attributes:
        reason: as that of `Example`.
    """

    tokens: int
    supervised: int
    reason: str


def count_tokens(model: str, rows: Iterable[Row], max_length: int) -> Iterator[TokenCount]:
    """Yield what training a model on rows would read of each, cut to `max_length`, in order; loads no weights.

    Raises:
        TunescopeError: no such model, or no tokenizer.
        MissingPackageError: transformers isn't installed.
    """
    from tunescope.chat import Chat
    from tunescope.models.load import load_tokenizer

    for example in examples(Chat(*load_tokenizer(model)), rows, max_length):
        yield TokenCount(sum(len(part.ids) for part in example.parts), example.n_supervised, example.reason)


def _cut(row: Row, sequences: Sequence[SupervisedTokens], max_length: int) -> Example:
    """Cut a row's sequences to a length; those without a supervised token go."""
    parts = tuple(part for part in (sequence.cut(max_length) for sequence in sequences) if part.n_supervised)
    n = sum(len(sequence.ids) for sequence in sequences)
    if not parts:
        if not any(sequence.n_supervised for sequence in sequences):
            return Example(row.id, (), n, "all its assistant turns are flagged not to be trained on")
        return Example(row.id, (), n, f"its answer begins behind the first {max_length} tokens")
    if any(len(sequence.ids) > max_length for sequence in sequences):
        return Example(row.id, parts, n, f"cut to {max_length} tokens")
    if not any((message.content or "").strip() or message.tool_calls for _, _, message in row.turns()):
        return Example(row.id, parts, n, "empty answer: only the turn's end is trained")
    if any(message.train and message.role != "assistant" for message in row.messages):
        return Example(row.id, parts, n, "a message that isn't the assistant's is flagged to be trained on: it isn't")
    return Example(row.id, parts, n)


def training_sequences(example: Example) -> list[TrainingSequence]:
    """Return an example's sequences with their labels; none where it isn't trained on."""
    sequences = []
    for part in example.parts:
        labels = [i if counts else IGNORED for i, counts in zip(part.ids, part.supervised, strict=True)]
        sequences.append(TrainingSequence(part.ids, labels))
    return sequences
