"""The kinds of question that items belong to: a file's, or what answers say of their questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.errors import SettingsError

if TYPE_CHECKING:
    from tunescope.answers import Answer
    from tunescope.judgements.files import Document
    from tunescope.judgements.records import Grade, Pair


class _Known(NamedTuple):
    """What a file says of one item: its instruction, if it has one, and which columns are true."""

    instruction: str | None
    tags: tuple[str, ...]


class Tags:
    """The kinds of question that each item belongs to."""

    def __init__(self, file: str | None) -> None:
        """Read the file, if any; raises `InputError` and `SettingsError` for one that can't be."""
        from tunescope.judgements.files import read_document

        self.file = file
        self._by_id: dict[str, _Known] = {}
        self._by_text: dict[str, _Known] = {}
        if file is not None:
            self._read(read_document(file))

    def _read(self, document: Document) -> None:
        for entry in document.entries:
            text = entry.value.get("instruction")
            known = _Known(
                text if isinstance(text, str) else None,
                tuple(name for name, value in entry.value.items() if value is True),
            )
            for name in ("id", "question_id", "item"):
                ident = entry.value.get(name)
                if isinstance(ident, int | str) and not isinstance(ident, bool):
                    self._by_id[str(ident)] = known
            if known.instruction is not None:
                self._by_text[_hash(known.instruction)] = known
        if not any(known.tags for known in (*self._by_id.values(), *self._by_text.values())):
            raise SettingsError(f"--tags {document.path}: no record has an id or instruction and a column that is true")

    @property
    def inputs(self) -> dict[str, str]:
        """What the run's key knows of it."""
        from tunescope.rows.containers import content_hash

        return {} if self.file is None else {f"tags {self.file}": f"tags {content_hash(Path(self.file))}"}

    def of_judged(self, judged: Pair | Grade) -> tuple[str, ...] | None:
        """Return an item's by its id or the hash of its text, else by the id of the question of which it is a turn."""
        known = self._by_id.get(judged.item) or self._by_text.get(judged.item) or self._by_id.get(judged.question)
        return None if known is None else known.tags

    def of(self, answer: Answer) -> tuple[str, ...] | None:
        """Return an item's: the file's by its text, else by its id unless that has another text; None: unknown to it.

        Without a file, what the answer says of its question.
        """
        if self.file is None:
            own = answer.meta.get("tags")
            named = (answer.meta.get(name) for name in ("category", "dataset"))
            listed = [tag for tag in own if isinstance(tag, str)] if isinstance(own, list) else []
            return tuple(dict.fromkeys([*listed, *(name for name in named if isinstance(name, str) and name)]))
        known = self._by_text.get(_hash(answer.prompt)) or self._by_id.get(answer.prompt_id)
        if known is None or (known.instruction or answer.prompt).strip() != answer.prompt.strip():
            return None
        return known.tags

    def refuse_strangers(self, knows_any: bool) -> None:
        """Raise `SettingsError` where the file knows none of the items judged."""
        if self.file is not None and not knows_any:
            count = len({id(known) for known in (*self._by_id.values(), *self._by_text.values())})
            raise SettingsError(f"--tags {self.file}: none of its {count:,} items is among those judged")


def _hash(question: str) -> str:
    from tunescope.rows import Message, content_id

    return content_id((Message("user", question),))
