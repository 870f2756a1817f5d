"""What is trained, in which order and with what beside it: all of it fixed before the first step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tunescope.results.tune import TunedRows

if TYPE_CHECKING:
    from tunescope.chat import Chat, SupervisedTokens
    from tunescope.models.trainer import Share, TrainingSequence
    from tunescope.rows import Row

MARKS = ("⟦", "⟧")
"""Put around what is supervised where a row is shown."""
SHOWN = 72
"""Characters of a stretch of text in a preview; of a longer one its beginning and its end are shown."""


class Example(NamedTuple):
    """A row on its way into training: its sequences (none: not trained), and what is to be said of it.

    A row is one sequence, or one for each of its turns where the chat template renders an earlier turn
    differently once more follows.
    """

    row_id: str
    parts: tuple[SupervisedTokens, ...]
    n_tokens: int
    reason: str = ""

    @property
    def n_supervised(self) -> int:
        """How many of its tokens are trained."""
        return sum(part.n_supervised for part in self.parts)

    @property
    def length(self) -> int:
        """Tokens that are trained on or read, at least 1."""
        return max(1, sum(len(part.ids) for part in self.parts))

    @property
    def truncated(self) -> bool:
        """Whether it is trained on without its end."""
        return bool(self.parts) and sum(len(part.ids) for part in self.parts) < self.n_tokens


def examples(chat: Chat, rows: Iterable[Row], max_length: int) -> Iterator[Example]:
    """Yield an example per row, in order."""
    from tunescope.chat import Inconsistent, Unrenderable

    rows = list(rows)
    for row, found in zip(rows, chat.rows(rows), strict=True):
        try:
            if isinstance(found, Inconsistent):
                whole = chat.turns(row)
            elif isinstance(found, Unrenderable):
                raise found
            else:
                whole = [found]
        except Unrenderable as refused:
            yield Example(row.id, (), 0, str(refused))
            continue
        yield _cut(row, whole, max_length)


def _cut(row: Row, whole: Sequence[SupervisedTokens], max_length: int) -> Example:
    parts = tuple(part for part in (part.cut(max_length) for part in whole) if part.n_supervised)
    n = sum(len(part.ids) for part in whole)
    if not parts:
        if not any(part.n_supervised for part in whole):
            return Example(row.id, (), n, "no assistant turn that is trained")
        return Example(row.id, (), n, f"its answer begins behind the first {max_length} tokens")
    if any(len(part.ids) > max_length for part in whole):
        return Example(row.id, parts, n, f"cut to {max_length} tokens")
    if not any((message.content or "").strip() or message.tool_calls for _, _, message in row.turns()):
        return Example(row.id, parts, n, "empty answer: only its end is trained")
    return Example(row.id, parts, n)


def order(n: int, steps: int, batch_size: int, seed: int) -> list[int]:
    """Return the numbers of the rows in the order of training, `steps` x `batch_size` of them.

    It depends on nothing but these: two sets that differ in some responses only, or in which rows
    can be trained, are seen in the same order, a row for a row.
    """
    places: list[int] = []
    epoch = 0
    while len(places) < steps * batch_size:
        numbers = list(range(n))
        Random(f"{seed}/order/{epoch}").shuffle(numbers)
        places += numbers
        epoch += 1
    return places[: steps * batch_size]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a training: which rows each takes, in which micro-batches.

    Attributes:
        examples: one per row, in file order.
        places: numbers of the rows in the order of training.
        size: rows per step; the last may have fewer.
        micro: rows of a micro-batch.
        bins: tokens of a bin where rows are packed, else None.
        seed: of the noise.
    """

    examples: Sequence[Example]
    places: Sequence[int]
    size: int
    micro: int
    bins: int | None = None
    seed: int = 0

    @property
    def steps(self) -> int:
        """How many optimizer steps there are."""
        return math.ceil(len(self.places) / self.size)

    def epoch(self, step: int) -> float:
        """Return how often the rows have been seen after `step` steps."""
        return min(step * self.size, len(self.places)) / len(self.examples)

    def epoch_ends(self) -> dict[int, int]:
        """Return step → epoch for each step in which an epoch is completed."""
        n = len(self.examples)
        return {math.ceil(e * n / self.size): e for e in range(1, len(self.places) // n + 1)}

    def share(self, step: int, process: int, processes: int) -> Share:
        """Return what `process` of `processes` does in `step` (from 0): as many micro-batches as each other does.

        Rows of like length share a micro-batch, so that little is padding.
        """
        from tunescope.models.trainer import EMPTY_SEQUENCE, Share

        first = step * self.size
        lines = [
            line for place in range(first, min(first + self.size, len(self.places))) for line in self._lines(place)
        ]
        lines.sort(key=lambda line: -len(line.ids))
        tokens = sum(line.n_supervised for line in lines)
        batches = self._bins(lines) if self.bins else self._micro_batches(lines, processes)
        each = max(1, math.ceil(len(batches) / processes))
        mine = batches[process::processes]
        return Share([*mine, *([EMPTY_SEQUENCE] for _ in range(each - len(mine)))], tokens)

    def _lines(self, place: int) -> Iterator[TrainingSequence]:
        from tunescope.models.trainer import IGNORED, TrainingSequence

        for number, part in enumerate(self.examples[self.places[place]].parts):
            labels = [i if trained else IGNORED for i, trained in zip(part.ids, part.supervised, strict=True)]
            yield TrainingSequence(part.ids, labels, f"{self.seed}/noise/{place}/{number}")

    def _micro_batches(self, lines: list[TrainingSequence], processes: int) -> list[list[TrainingSequence]]:
        micro = min(self.micro, max(1, math.ceil(len(lines) / processes)))
        return [lines[i : i + micro] for i in range(0, len(lines), micro)]

    def _bins(self, lines: list[TrainingSequence]) -> list[list[TrainingSequence]]:
        """Put whole lines into as few bins as first-fit finds, longest first."""
        assert self.bins is not None
        bins: list[list[TrainingSequence]] = []
        room: list[int] = []
        for line in lines:
            n = len(line.ids)
            at = next((i for i, left in enumerate(room) if left >= n), None)
            if at is None:
                bins.append([])
                room.append(self.bins)
                at = len(bins) - 1
            bins[at].append(line)
            room[at] -= n
        return bins


def shown(chat: Chat, example: Example) -> str:
    """Return a row as it is trained on, with what is supervised between `MARKS`; long stretches are shortened."""
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
