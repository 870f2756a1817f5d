"""Loss flags: whether an assistant turn is trained on, under the names that files give it.

A flag stands in a message (`"train": false`), or beside the messages as a list with an entry per message or per
assistant turn (`"loss_mask": [0, 1]`). What looks like a flag and isn't understood is refused by name, since a turn
that must not be trained on would be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tunescope.rows.json_text import FormatError, abbreviate
from tunescope.rows.message import Json, Message

TRAIN_KEYS = (
    *("train", "training", "weight", "loss", "trainable", "loss_mask", "loss_weight", "train_mask", "is_trained"),
    *("do_train", "should_train", "compute_loss", "calculate_loss", "has_loss", "learn"),
)
"""Keys of a message whose true (or 1) means that it is trained on."""
MASKED_KEYS = ("masked", "is_masked", "loss_masked", "ignore_loss", "no_loss")
"""Keys of a message whose true (or 1) means that it isn't."""
_ROW_COLUMNS = frozenset(["loss_mask", "train_mask", "trainable", "loss_weight", "masked", "is_masked"])
"""Columns beside the messages that flag a whole row where they hold a single value."""
_LABEL = "label"
"""TRL's column of unpaired preference rows (prompt, completion, label): false is a completion that nobody wants."""
FLAG_COLUMNS = _ROW_COLUMNS | {
    _LABEL,
    "train",
    "mask",
    "masks",
    "loss_masks",
    "train_masks",
    "loss_weights",
    "assistant_mask",
}
"""Columns beside the messages that may hold a list of flags."""
_LOOKS_LIKE_FLAG = re.compile(r"(^|_)(loss|train(ed|ing|able)?|mask(ed|s)?|learn)(_|$)", re.IGNORECASE)
_NOT_FLAGS = frozenset(["attention_mask"])
_EXPECTED = "true, false, 0 or 1"


def read_flag(record: Mapping[str, Json], keys: Sequence[str], where: str) -> bool | None:
    """Return a message's flag: True is trained on, False isn't, None isn't said.

    `keys` are the names to look for; with all of `TRAIN_KEYS`, other keys that look like a flag are refused.

    Raises:
        FormatError: a value that is no flag, two flags that disagree, or a key whose meaning isn't clear.
    """
    flags = {key: _to_bool(record[key], f"{where}, {key!r}") for key in keys if record.get(key) is not None}
    if tuple(keys) == TRAIN_KEYS:
        for key in record:
            if key in MASKED_KEYS and record[key] is not None:
                flags[key] = not _to_bool(record[key], f"{where}, {key!r}")
            elif key not in flags and _is_unclear(key, record[key]):
                raise _unclear(f"{where}, {key!r}: {abbreviate(record[key])}", key)
    if len(set(flags.values())) > 1:
        raise FormatError(f"{where}: {', '.join(flags)} disagree", "one loss flag per message")
    return next(iter(flags.values()), None)


def flag_key(record: Mapping[str, Json], keys: Sequence[str]) -> str:
    """Return the key that a record has for its flag; the first of `keys` where it has none."""
    names = (*keys, *MASKED_KEYS)
    with_value = [name for name in names if record.get(name) is not None]
    return next(iter(with_value or [name for name in names if name in record]), keys[0])


def _is_unclear(key: str, value: Json) -> bool:
    """Tell whether a key looks like a flag that isn't understood."""
    is_share = isinstance(value, int | float) and 0 <= value <= 1
    if not is_share and not (isinstance(value, list) and value):
        return False
    return key not in TRAIN_KEYS and key not in _NOT_FLAGS and bool(_LOOKS_LIKE_FLAG.search(key))


def _unclear(found: str, key: str) -> FormatError:
    hint = f"with --columns train={key}" if "detail" not in key else "flags of whole messages"
    return FormatError(found, f"a loss flag under a usual name ({', '.join(TRAIN_KEYS[:6])}, masked), or named {hint}")


def _to_bool(value: Json, where: str) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise FormatError(f"{where}: {abbreviate(value)}", f"{_EXPECTED}: a message is trained on in full or not at all")


def add_row_flags(messages: tuple[Message, ...], record: Mapping[str, Json]) -> tuple[Message, ...]:
    """Return the messages with the flags that stand beside them: a list of them, or one for the row.

    A list has one per message (with or without system messages) or one per assistant turn.

    Raises:
        FormatError: a list of another length or without flags, or one that disagrees with a message's own flag.
    """
    for column in _columns_in_use(record):
        messages = _apply(messages, column, record[column])
    return messages


def _columns_in_use(record: Mapping[str, Json]) -> list[str]:
    def is_flag(column: str) -> bool:
        value = record[column]
        if column == _LABEL:
            return value is False and "prompt" in record and "completion" in record
        is_single = isinstance(value, bool | int | float) and column in _ROW_COLUMNS
        return is_single or (isinstance(value, list) and bool(value))

    return [column for column in record if column in FLAG_COLUMNS and is_flag(column)]


def _apply(messages: tuple[Message, ...], column: str, value: Json) -> tuple[Message, ...]:
    where = f"column {abbreviate(column)}"
    if column in ("mask", "masks"):
        raise FormatError(f"{where}: a list", "it to be called loss_mask (1 is trained on) or masked (1 isn't)")
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    flags = value if isinstance(value, list) else [value] * len(answers)
    without_system = [i for i, message in enumerate(messages) if message.role != "system"]
    places = next((p for p in (range(len(messages)), without_system, answers) if len(p) == len(flags)), None)
    if places is None:
        expected = f"a loss flag for each of the {len(messages)} messages or of the {len(answers)} answers"
        raise FormatError(f"{where}: a list of {len(flags)}", expected)
    flagged = list(messages)
    for place, item in zip(places, flags, strict=True):
        flag, message = _to_bool(item, where) != (column in MASKED_KEYS), messages[place]
        if message.train not in (None, flag):
            raise FormatError(f"{where}, which disagrees with message {place + 1}'s own flag", "one flag per message")
        if message.role == "assistant" or flag:
            flagged[place] = replace(message, train=flag)
    return tuple(flagged)


def without_row_flags(messages: tuple[Message, ...], record: Mapping[str, Json]) -> tuple[Message, ...]:
    """Return the messages without the flags that stand beside them, to be written into their own records."""
    if not _columns_in_use(record):
        return messages
    return tuple(replace(message, train=None) for message in messages)
