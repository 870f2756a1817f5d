"""What `shift` writes: a result, a line per answer, a table of tokens. Defined in docs/reference/shift-numbers.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tunescope.errors import RunError
from tunescope.results.columns import Columns
from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Int32, Record, key

CLASSES = ("unshifted", "marginal", "shifted")
"""Classes of tokens, by the rank that the base gives to the tuned model's choice: 1, 2 to 3, above 3."""
OWN_CHOICE = 0.98
"""Share of tokens from which on answers are the tuned model's own greedy ones; rounding may turn a few tokens."""


@dataclass(frozen=True, kw_only=True)
class FirstMinusRest(MeanEstimate):
    """How much larger the KL is in the first 5 % of a sentence than in the rest of it."""

    n_needed: int | None = 0
    """Answers that would show this difference; None: more than can be said; 0, and left out: these show it."""


@dataclass(frozen=True, kw_only=True)
class TruncatedKL(MeanEstimate):
    """The KL of the paper's public code, over the tokens that are among the first `top_k` of both models."""

    top_k: int


@dataclass(frozen=True, kw_only=True)
class WordShare(MeanEstimate):
    """The share of the answers' words of one class that occur in rows."""

    words: int
    """Words of this class in the answers."""


@dataclass(frozen=True, kw_only=True)
class WordsInRows(Record):
    """The share of the answers' words that occur in rows, by the class of the word's first token."""

    unshifted: WordShare
    marginal: WordShare
    shifted: WordShare
    words_read: int
    """Words of the rows."""
    vocabulary: int
    """Different words among them."""


@dataclass(frozen=True, kw_only=True)
class FrequentWord(Record):
    """A word, how often it stands at shifted or marginal tokens, and its group: opener, style or content."""

    word: str
    count: int
    shifted: int
    marginal: int
    group: str


@dataclass(frozen=True, kw_only=True)
class ShiftedWords(Record):
    """The words of the answers: how many by class and by group, the most frequent ones, and which occur in rows."""

    counts: dict[str, int]
    groups: dict[str, int]
    frequent: tuple[FrequentWord, ...]
    in_rows: WordsInRows | None = None
    in_other_rows: WordsInRows | None = None


@dataclass(frozen=True, kw_only=True)
class ShiftResult(Record):
    """The result of `shift`; means are over tokens, with intervals over answers."""

    base: str
    tuned: str
    base_template: str
    answers: int
    n_missing: int
    """Answers that couldn't be read."""
    tokens: int
    unanswered: int | None = None
    """Prompts without an answer, where the tuned model answered prompts."""
    kl: MeanEstimate
    kl_reverse: MeanEstimate
    base_prob: MeanEstimate
    base_rank: MeanEstimate
    unshifted: MeanEstimate
    marginal: MeanEstimate
    shifted: MeanEstimate
    own_choice: MeanEstimate
    kl_first: MeanEstimate
    kl_rest: MeanEstimate
    kl_first_minus_rest: FirstMinusRest
    answer_tokens: MeanEstimate
    outside_base: MeanEstimate | None = None
    outside_tuned: MeanEstimate | None = None
    kl_top_k: TruncatedKL | None = None
    words: ShiftedWords


@dataclass(frozen=True, kw_only=True)
class ShiftTokens(Columns):
    """The table `tokens`: every token of the answers that were read; an answer's tokens stand together."""

    NAME: ClassVar[str] = "tokens"

    answer_id: Sequence[str]
    position: Sequence[Int32]
    token_id: Sequence[Int32]
    token: Sequence[str]
    char_start: Sequence[Int32]
    char_end: Sequence[Int32]
    sentence: Sequence[Int32]
    part: Sequence[str]
    kl: Sequence[float]
    kl_reverse: Sequence[float]
    base_prob: Sequence[float]
    base_rank: Sequence[Int32]
    token_class: Sequence[str] = key("class")
    log_ratio: Sequence[float]
    top_token: Sequence[str | None]
    """The tuned model's first choice; None where it is the token itself."""
    base_top_token: Sequence[str]

    def by_answer(self) -> dict[str, ShiftTokens]:
        """Return the tokens of each answer that has some, by its id, in the table's order.

        Raises:
            RunError: an answer's tokens don't stand together.
        """
        parts: dict[str, ShiftTokens] = {}
        start, ids = 0, self.answer_id
        for end in range(1, len(ids) + 1):
            if end == len(ids) or ids[end] != ids[start]:
                if ids[start] in parts:
                    raise RunError(f"{self.NAME}.parquet: the tokens of answer {ids[start]} don't stand together")
                parts[ids[start]] = self.slice(start, end)
                start = end
        return parts


@dataclass(frozen=True, kw_only=True)
class ShiftAnswer(Record):
    """A row of the table `answers`: an answer's own means; all None where it couldn't be read, with the reason."""

    NAME: ClassVar[str] = "answers"

    answer_id: str
    n_tokens: Int32 | None
    kl: float | None
    kl_reverse: float | None
    base_prob: float | None
    base_rank: float | None
    unshifted: float | None
    marginal: float | None
    shifted: float | None
    own_choice: float | None
    n_sentences: Int32 | None
    kl_first: float | None
    n_first: Int32 | None
    kl_rest: float | None
    n_rest: Int32 | None
    kl_first_minus_rest: float | None
    outside_base: float | None
    outside_tuned: float | None
    kl_top_k: float | None = None
    reason: str | None
