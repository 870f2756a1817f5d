"""Reworded prompts that annotators put to a model, and its answers: in the file of the study's marks.

What was asked stays: a prompt is on the disk before its annotator is told that it waits, and so is its answer before it
is shown. A server that starts again goes on with those that have none.
"""

from __future__ import annotations

from typing import NamedTuple

from tunescope.annotations.store import MarkStore, utc_now
from tunescope.errors import MarkConflict
from tunescope.text.words import fold, words

_QUERY = (
    "SELECT try_id, item_id, annotator, prompt, model, answer, failure FROM asked_prompts "
    "LEFT JOIN prompt_answers USING (try_id)"
)


class AskedPrompt(NamedTuple):
    """A reworded prompt of one annotator, for one item.

    Attributes:
        try_id: what the page calls it.
        model: what answered, or failed to; None while it waits.
        answer: None where there is none.
        failure: why there is none; None while it waits.
    """

    try_id: str
    item_id: str
    annotator: str
    prompt: str
    model: str | None = None
    answer: str | None = None
    failure: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Tell whether nobody has answered it yet."""
        return self.answer is None and self.failure is None


class AskedPrompts:
    """The prompts of a study's annotators, in the file of its marks."""

    def __init__(self, store: MarkStore) -> None:
        """Use the file of a store."""
        self._store = store

    def add(self, asked: AskedPrompt) -> None:
        """Keep a prompt that waits for its answer; the same one sent again is kept once.

        Raises:
            MarkConflict: another prompt has its id.
            WorkError: the file can't be written.
        """
        with self._store.changing() as file:
            row = file.execute(f"{_QUERY} WHERE try_id = ?", (asked.try_id,)).fetchone()
            if row is None:
                values = (asked.try_id, asked.item_id, asked.annotator, asked.prompt, utc_now())
                file.execute("INSERT INTO asked_prompts VALUES (?, ?, ?, ?, ?)", values)
            elif AskedPrompt(*row)[:4] != asked[:4]:
                raise MarkConflict("another prompt was sent with this id; reload the page")

    def keep(self, answered: AskedPrompt) -> None:
        """Keep what became of a prompt.

        Raises:
            WorkError: the file can't be written.
        """
        with self._store.changing() as file:
            values = (answered.try_id, answered.model, answered.answer, answered.failure, utc_now())
            file.execute("INSERT OR IGNORE INTO prompt_answers VALUES (?, ?, ?, ?, ?)", values)

    def of(self, item_id: str, annotator: str) -> list[AskedPrompt]:
        """Return an annotator's prompts for an item, in the order in which they were asked."""
        query = f"{_QUERY} WHERE item_id = ? AND annotator = ? ORDER BY asked_prompts.rowid"
        return [AskedPrompt(*row) for row in self._store.look_up_all(query, item_id, annotator)]

    def waiting(self) -> list[AskedPrompt]:
        """Return the prompts without answer or failure, in the order in which they were asked."""
        query = f"{_QUERY} WHERE prompt_answers.try_id IS NULL ORDER BY asked_prompts.rowid"
        return [AskedPrompt(*row) for row in self._store.look_up_all(query)]


def holds_phrase(text: str, phrase: str) -> bool:
    """Tell whether a phrase's words stand in a text one after the other, as words are compared; else its characters."""
    wanted, there = words(phrase), words(text)
    if not wanted:
        return fold(phrase.strip()) in fold(text)
    return any(there[place : place + len(wanted)] == wanted for place in range(len(there) - len(wanted) + 1))
