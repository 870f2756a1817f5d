"""The plan of a training: what is trained, in which order and in which batches; fixed before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tunescope.results.tune import TunedRows

if TYPE_CHECKING:
    from tunescope.chat import Chat, SupervisedTokens
    from tunescope.models.trainer import StepShare, TrainingSequence
    from tunescope.rows import Row

MARKS = ("⟦", "⟧")
"""Put around what is supervised where a row is shown."""
SHOWN = 72
"""Characters of a stretch of text in a preview; of a longer one its beginning and its end are shown."""


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
        return Example(row.id, parts, n, "empty answer: only its end is trained")
    if any(message.train and message.role != "assistant" for message in row.messages):
        return Example(row.id, parts, n, "a message that isn't the assistant's is flagged to be trained on: it isn't")
    return Example(row.id, parts, n)


def order(n: int, steps: int, batch_size: int, seed: int) -> list[int]:
    """Return the numbers of the rows in the order of training, `steps` x `batch_size` of them.

    It depends on nothing else. So two sets of rows that differ only in some responses, or in which rows can be
    trained, are seen in the same order, row for row.
    """
    numbers: list[int] = []
    epoch = 0
    while len(numbers) < steps * batch_size:
        shuffled = list(range(n))
        Random(f"{seed}/order/{epoch}").shuffle(shuffled)
        numbers += shuffled
        epoch += 1
    return numbers[: steps * batch_size]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a training: which rows each takes, in which micro-batches.

    Attributes:
        examples: one per row, in file order.
        order: numbers of the rows in the order of training.
        batch_size: rows per step; the last may have fewer.
        micro_batch: rows of a micro-batch.
        pack_length: tokens of a micro-batch where rows are packed, else None.
        seed: of the noise.
    """

    examples: Sequence[Example]
    order: Sequence[int]
    batch_size: int
    micro_batch: int
    pack_length: int | None = None
    seed: int = 0

    @property
    def steps(self) -> int:
        """How many optimizer steps there are."""
        return math.ceil(len(self.order) / self.batch_size)

    def epoch(self, step: int) -> float:
        """Return how often the rows have been seen after `step` steps."""
        return min(step * self.batch_size, len(self.order)) / len(self.examples)

    def epoch_ends(self) -> dict[int, int]:
        """Return step → epoch for each step in which an epoch is completed."""
        n = len(self.examples)
        return {math.ceil(e * n / self.batch_size): e for e in range(1, len(self.order) // n + 1)}

    def share(self, step: int, process: int, processes: int) -> StepShare:
        """Return the part of `process` in `step` (from 0); each of `processes` gets the same number of micro-batches.

        Rows of similar length share a micro-batch, which keeps padding small.
        """
        from tunescope.models.trainer import EMPTY_SEQUENCE, StepShare

        first = step * self.batch_size
        places = range(first, min(first + self.batch_size, len(self.order)))
        sequences = [sequence for place in places for sequence in self._sequences(place)]
        sequences.sort(key=lambda sequence: -len(sequence.ids))
        tokens = sum(sequence.n_supervised for sequence in sequences)
        batches = self._packs(sequences) if self.pack_length else self._micro_batches(sequences, processes)
        each = max(1, math.ceil(len(batches) / processes))
        mine = batches[process::processes]
        return StepShare([*mine, *([EMPTY_SEQUENCE] for _ in range(each - len(mine)))], tokens)

    def _sequences(self, place: int) -> Iterator[TrainingSequence]:
        """Yield the sequences of the row at a place of the order, with the name that seeds each one's noise."""
        from tunescope.models.trainer import IGNORED, TrainingSequence

        for number, part in enumerate(self.examples[self.order[place]].parts):
            labels = [i if counts else IGNORED for i, counts in zip(part.ids, part.supervised, strict=True)]
            yield TrainingSequence(part.ids, labels, f"{self.seed}/noise/{place}/{number}")

    def _micro_batches(self, sequences: list[TrainingSequence], processes: int) -> list[list[TrainingSequence]]:
        size = min(self.micro_batch, max(1, math.ceil(len(sequences) / processes)))
        return [sequences[i : i + size] for i in range(0, len(sequences), size)]

    def _packs(self, sequences: list[TrainingSequence]) -> list[list[TrainingSequence]]:
        """Put whole sequences, longest first, into packs of `pack_length` tokens by first fit."""
        assert self.pack_length is not None
        packs: list[list[TrainingSequence]] = []
        room: list[int] = []
        for sequence in sequences:
            n = len(sequence.ids)
            number = next((i for i, tokens in enumerate(room) if tokens >= n), None)
            if number is None:
                packs.append([])
                room.append(self.pack_length)
                number = len(packs) - 1
            packs[number].append(sequence)
            room[number] -= n
        return packs


def show_example(chat: Chat, example: Example) -> str:
    """Return a row's text as it is trained on, its supervised parts between `MARKS`; long stretches are shortened."""
    text = []
    for part in example.parts:
        start = 0
        while start < len(part.ids):
            end = start + 1
            while end < len(part.ids) and part.supervised[end] == part.supervised[start]:
                end += 1
            piece = chat.tokenizer.decode(list(part.ids[start:end]), clean_up_tokenization_spaces=False)
            if len(piece) > SHOWN + 5:
                piece = f"{piece[: SHOWN // 2]} […] {piece[-SHOWN // 2 :]}"
            text.append(piece.join(MARKS) if part.supervised[start] else piece)
            start = end
    return "".join(text).replace("\n", "↵")


def list_rows(examples: Sequence[Example]) -> TunedRows:
    """Return the columns of the table `rows`."""
    return TunedRows(
        row_id=[example.row_id for example in examples],
        n_tokens=[example.n_tokens for example in examples],
        n_supervised=[example.n_supervised for example in examples],
        truncated=[example.truncated for example in examples],
        reason=[example.reason or None for example in examples],
    )
