"""What a source of paired rows is, and the items that it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Literal

from tunescope.questions.bench_task import find_first
from tunescope.questions.code_problems import CodeProblem
from tunescope.questions.documents import Doc

Domain = Literal["domain knowledge", "commonsense", "complex reasoning", "programming"]
"""The FACO paper's four (section 2.1)."""
_SUFFIXES = (".jsonl", ".json", ".parquet", ".jsonl.gz")
_SCHEMA_ONLY = 0.01
"""A copy with less than this share of the official rows shows the columns, and is no sample."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question of a source.

    A question with options has `options`, of which number `gold` is right. A programming question has `code`.

    Attributes:
        question: what is asked, without the options.
        options: the options' texts, in order.
        gold: the number of the right option, from 0.
        code: the code that answers it.
        problem: the tests of the code, where there are any.
        explanation: the source's own explanation of the right answer; empty where it has none.
        item_id: the source's id; empty where it has none.
        original: the text that an evaluation file would have of it, where `question` adds something to that.
        group: questions of one group may share an answer; only for code.
    """

    question: str
    options: tuple[str, ...] = ()
    gold: int = 0
    code: str = ""
    problem: CodeProblem | None = None
    explanation: str = ""
    item_id: str = ""
    original: str = ""
    group: str = ""

    @property
    def prompt(self) -> str:
        """The question with its lettered options."""
        lines = [f"{letter_of(number)}) {text}" for number, text in enumerate(self.options)]
        return "\n".join([self.question, "", *lines]) if lines else self.question


@dataclass(frozen=True, kw_only=True)
class LocalCopy:
    """The file that a source is read from, and what it is.

    Attributes:
        path: the file.
        is_stand_in: it isn't of the training split.
    """

    path: Path
    is_stand_in: bool


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set whose training split gives items.

    Attributes:
        name: what it is called on the command line; also its file's name.
        domain: the paper's.
        about: what it asks, in one sentence.
        licence: the data set's name and licence.
        train: the paths of its training split in the data folder, without suffix.
        n_train: rows of the official training split.
        columns: what each record must have.
        read: makes an item of a record; raises ValueError or KeyError for one that is none.
        stand_ins: paths of other rows of the data set, read where there is no training split.
    """

    name: str
    domain: Domain
    about: str
    licence: str
    train: tuple[str, ...]
    n_train: int
    columns: tuple[str, ...]
    read: Callable[[Doc], Item]
    stand_ins: tuple[str, ...] = ()

    def find(self, data: Path) -> LocalCopy | None:
        """Return the local copy in the data folder; None where there is none."""
        for paths, is_stand_in in ((self.train, False), (self.stand_ins, True)):
            path = find_first([path + suffix for path in paths for suffix in _SUFFIXES], data)
            if path is not None:
                return LocalCopy(path=path, is_stand_in=is_stand_in)
        return None

    def describe(self, copy: LocalCopy, n_rows: int) -> str:
        """Say what a local copy with `n_rows` rows is: full, part, stand-in or schema only."""
        of = f"{n_rows:,} of {self.n_train:,} training rows"
        if copy.is_stand_in:
            return f"stand-in: {n_rows:,} rows of another split"
        if n_rows >= self.n_train:
            return f"full: {n_rows:,} training rows"
        return f"schema only: {of}" if n_rows < _SCHEMA_ONLY * self.n_train else f"part: {of}"


def letter_of(number: int) -> str:
    """Return the letter of an option, by its number from 0."""
    return ascii_uppercase[number]


def read_labelled(record: Doc) -> Item:
    """Make an item of a record with question, choices (text and label) and answerKey, as AI2's sets have them."""
    texts, labels = record["choices"]["text"], record["choices"]["label"]
    return labelled_item(record["question"], texts, labels, record["answerKey"], str(record.get("id") or ""))


def labelled_item(
    question: str, texts: Sequence[str], labels: Sequence[str], key: str, item_id: str = "", explanation: str = ""
) -> Item:
    """Make an item of options with labels and the right one's label; raises ValueError where it isn't among them."""
    if key not in labels:
        raise ValueError(f"the answer {key!r} is none of the labels {', '.join(labels)}")
    if not 2 <= len(texts) <= len(ascii_uppercase):
        raise ValueError(f"{len(texts)} options where 2 to {len(ascii_uppercase)} were expected")
    if not question.strip() or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("a question or an option without text")
    options = tuple(text.strip() for text in texts)
    return Item(
        question=question.strip(),
        options=options,
        gold=list(labels).index(key),
        item_id=item_id,
        explanation=explanation.strip(),
    )
