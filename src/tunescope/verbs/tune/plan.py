"""The plan of a training: what is trained, in which order and in which batches; fixed before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tunescope.models.training_rows import EMPTY_SEQUENCE, training_sequences
from tunescope.results.tune import TunedRows

if TYPE_CHECKING:
    from tunescope.chat import Chat
    from tunescope.models.trainer import StepShare
    from tunescope.models.training_rows import Example, TrainingSequence

MARKS = ("⟦", "⟧")
"""Put around what is supervised where a row is shown."""
SHOWN = 72
"""Characters of a stretch of text in a preview; of a longer one its beginning and its end are shown."""


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
        from tunescope.models.trainer import StepShare

        first = step * self.batch_size
        places = range(first, min(first + self.batch_size, len(self.order)))
        sequences = [sequence for place in places for sequence in self._sequences(place)]
        sequences.sort(key=lambda sequence: -len(sequence.ids))
        tokens = sum(sequence.n_supervised for sequence in sequences)
        batches = self._packs(sequences) if self.pack_length else self._micro_batches(sequences, processes)
        each = max(1, math.ceil(len(batches) / processes))
        mine = batches[process::processes]
        return StepShare([*mine, *([EMPTY_SEQUENCE] for _ in range(each - len(mine)))], tokens)

    def fullest_micro_batch(self) -> list[int]:
        """Return the numbers of the rows of one micro-batch, that with the most tokens; it takes the most memory."""
        n = self.batch_size
        steps = (self.order[first : first + n] for first in range(0, len(self.order), n))
        return max(map(self._first_micro_batch, steps), key=lambda rows: sum(map(self.n_tokens_read, rows)))

    def n_tokens_read(self, row: int) -> int:
        """Count the tokens that the model reads of a row, without padding."""
        return sum(len(part.ids) for part in self.examples[row].parts)

    def _first_micro_batch(self, rows: Sequence[int]) -> list[int]:
        """Return the rows of a step's first micro-batch, which has its longest ones; a row of several parts as one."""
        longest_first = sorted(rows, key=lambda row: -self.n_tokens_read(row))
        if self.pack_length is None:
            return longest_first[: self.micro_batch]
        batch, room = longest_first[:1], self.pack_length - self.n_tokens_read(longest_first[0])
        for row in longest_first[1:]:
            if self.n_tokens_read(row) <= room:
                batch.append(row)
                room -= self.n_tokens_read(row)
        return batch

    def _sequences(self, place: int) -> Iterator[TrainingSequence]:
        """Yield the sequences of the row at a place of the order, with the name that seeds each one's noise."""
        for number, sequence in enumerate(training_sequences(self.examples[self.order[place]])):
            yield sequence._replace(noise=f"{self.seed}/noise/{place}/{number}")

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
