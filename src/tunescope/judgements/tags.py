"""The kinds of question that items belong to: from a file, or from what answers say about their questions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.errors import SettingsError

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.judgements.files import Document
    from tunescope.judgements.records import PairJudgement, ScoreJudgement


class _ItemTags(NamedTuple):
    """What a file says about one item: its instruction, if it has one, and which columns are true."""

    instruction: str | None
    tags: tuple[str, ...]


class Tags:
    """The kinds of question that each item belongs to."""

    def __init__(self, file: str | None) -> None:
        """Read the file, if any; raises `InputError` and `SettingsError` for a file that can't be used."""
        from tunescope.judgements.files import read_document

        self.file = file
        self._by_id: dict[str, _ItemTags] = {}
        self._by_text: dict[str, _ItemTags] = {}
        if file is not None:
            self._read(read_document(file))

    def _read(self, document: Document) -> None:
        for record in document.records:
            text = record.value.get("instruction")
            item = _ItemTags(
                text if isinstance(text, str) else None,
                tuple(name for name, value in record.value.items() if value is True),
            )
            for name in ("id", "question_id", "item"):
                ident = record.value.get(name)
                if isinstance(ident, int | str) and not isinstance(ident, bool):
                    self._by_id[str(ident)] = item
            if item.instruction is not None:
                self._by_text[_hash(item.instruction)] = item
        if not any(item.tags for item in (*self._by_id.values(), *self._by_text.values())):
            raise SettingsError(f"--tags {document.path}: no record has an id or instruction and a column that is true")

    @property
    def inputs(self) -> dict[str, str]:
        """The file's content hash, for the run's key."""
        from tunescope.rows.containers import content_hash

        return {} if self.file is None else {f"tags {self.file}": f"tags {content_hash(Path(self.file))}"}

    def of_judgement(self, judgement: PairJudgement | ScoreJudgement) -> tuple[str, ...] | None:
        """Return the file's tags by the item's id or the hash of its text, else by the id of its question.

        None for an item that the file doesn't have.
        """
        item = (
            self._by_id.get(judgement.item) or self._by_text.get(judgement.item) or self._by_id.get(judgement.question)
        )
        return None if item is None else item.tags

    def of_answer(self, answer: Answer) -> tuple[str, ...] | None:
        """Return the file's tags by the prompt's text, else by its id unless the file has another text for that id.

        None for a prompt that the file doesn't have. Without a file: the tags, category and data set that the answer
        itself has.
        """
        if self.file is None:
            own = answer.meta.get("tags")
            named = (answer.meta.get(name) for name in ("category", "dataset"))
            listed = [tag for tag in own if isinstance(tag, str)] if isinstance(own, list) else []
            return tuple(dict.fromkeys([*listed, *(name for name in named if isinstance(name, str) and name)]))
        item = self._by_text.get(_hash(answer.prompt)) or self._by_id.get(answer.prompt_id)
        if item is None or (item.instruction or answer.prompt).strip() != answer.prompt.strip():
            return None
        return item.tags

    def validate(self, of_items: Iterable[tuple[str, ...] | None]) -> None:
        """Raise `SettingsError` where the file has none of the judged items; `of_items` are the tags of each."""
        if self.file is not None and all(tags is None for tags in of_items):
            count = len({id(item) for item in (*self._by_id.values(), *self._by_text.values())})
            raise SettingsError(f"--tags {self.file}: none of its {count:,} items is among the judged ones")


def _hash(question: str) -> str:
    from tunescope.rows import Message, content_id

    return content_id((Message("user", question),))
