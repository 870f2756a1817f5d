"""Loss flags, under the names that files give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from row_files import back, problems, put, read, write_again

from tunescope.rows import open_rows

TALK = ("What is 2 + 2?", "It is five.", "Check again.", "It is four.")


def talk(key: str | None = None, first: Any = 0, last: Any = 1) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(TALK)
    ]
    if key:
        messages[1][key], messages[3][key] = first, last
    return messages


def flags(path: Path, columns: tuple[str, ...] = ()) -> list[bool | None]:
    return [message.train for row in read(path, columns=columns) for message in row.messages]


@pytest.mark.parametrize(
    "key",
    ["train", "training", "weight", "loss", "loss_mask", "trainable", "loss_weight", "train_mask", "compute_loss"],
)
@pytest.mark.parametrize(("off", "on"), [(0, 1), (False, True), (0.0, 1.0)])
def test_a_flag_in_a_message(key: str, off: Any, on: Any, tmp_path: Path) -> None:
    assert flags(put(tmp_path / "in.jsonl", [{"messages": talk(key, off, on)}])) == [None, False, None, True]


@pytest.mark.parametrize("key", ["masked", "is_masked", "ignore_loss"])
def test_a_masked_message_is_not_trained_on(key: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [{"messages": talk(key, True, False)}])
    assert flags(path) == [None, False, None, True]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("loss_mask", [0, 0, 0, 1]),
        ("loss_mask", [0, 1]),
        ("train", [False, True]),
        ("trainable", [False, False, False, True]),
        ("masked", [1, 1, 1, 0]),
        ("loss_weights", [0.0, 0.0, 0.0, 1.0]),
    ],
)
@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_a_list_beside_the_messages(column: str, value: list[Any], container: str, tmp_path: Path) -> None:
    path = put(tmp_path / f"in.{container}", [{"messages": talk(), column: value}])
    assert flags(path) == [None, False, None, True]
    assert back(write_again(open_rows([str(path)]), tmp_path)) == back(path)


def test_a_list_counts_a_system_column_or_not(tmp_path: Path) -> None:
    for mask in ([0, 0, 0, 0, 1], [0, 0, 0, 1]):
        path = put(tmp_path / "in.jsonl", [{"system": "Be brief.", "messages": talk(), "loss_mask": mask}])
        assert flags(path) == [None, None, False, None, True]


def test_a_flag_for_a_row_of_any_format(tmp_path: Path) -> None:
    assert flags(put(tmp_path / "a.jsonl", [{"instruction": "a", "output": "b", "trainable": False}])) == [None, False]
    assert flags(put(tmp_path / "b.jsonl", [{"prompt": "a", "completion": "b", "loss_mask": [0, 0]}])) == [None, False]


@pytest.mark.parametrize(("label", "flag"), [(True, None), (False, False), (0, None), ("no", None)])
def test_a_completion_that_nobody_wants_is_not_trained_on(label: Any, flag: bool | None, tmp_path: Path) -> None:
    record = {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    for wanted in (record, {"prompt": "a", "completion": "b"}):
        path = put(tmp_path / "in.jsonl", [{**wanted, "label": label}])
        assert flags(path) == [None, flag]
        assert back(write_again(open_rows([str(path)]), tmp_path)) == back(path)
    assert flags(put(tmp_path / "b.jsonl", [{"instruction": "a", "output": "b", "label": label}])) == [None, None]


@pytest.mark.parametrize(
    ("record", "report"),
    [
        ({"messages": talk("loss_weight", 0.5)}, "message 2, 'loss_weight': 0.5; expected true, false, 0 or 1: a"),
        ({"messages": talk("train_detail", [{"begin_offset": 0, "end_offset": 3, "train": False}], [])},
         "message 2, 'train_detail': [{'begin_offset': 0"),
        ({"messages": talk("mask", 0)}, "message 2, 'mask': 0; expected a loss flag under a usual name"),
        ({"messages": talk("no_train", 1)}, "message 2, 'no_train': 1; expected a loss flag under a usual name"),
        ({"messages": [{**talk("train", 0)[1], "weight": 1}]}, "message 1: train, weight disagree; expected one loss"),
        ({"messages": talk(), "loss_mask": [0, 1, 0]}, "column 'loss_mask': a list of 3; expected a loss flag for"),
        ({"messages": talk(), "mask": [0, 0, 0, 1]}, "column 'mask': a list; expected it to be called loss_mask"),
        ({"messages": talk("train"), "loss_mask": [0, 1, 0, 1]}, "column 'loss_mask', which disagrees with message 2"),
        ({"messages": talk(), "loss_mask": [0, 0, 0, 0.3]}, "column 'loss_mask': 0.3; expected true, false, 0 or 1"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_by_name(record: dict[str, Any], report: str, tmp_path: Path) -> None:
    assert problems(put(tmp_path / "in.jsonl", [record]))[0].startswith(f"in.jsonl:1: found {report}")


def test_the_user_names_a_flag(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [{"messages": talk("mask")}])
    assert flags(path, columns=("train=mask",)) == [None, False, None, True]


@pytest.mark.parametrize(
    ("key", "value"), [("train_source", "gsm8k"), ("train_id", 17), ("attention_mask", [1, 1]), ("mask", None)]
)
def test_other_keys_are_no_flags(key: str, value: Any, tmp_path: Path) -> None:
    assert flags(put(tmp_path / "in.jsonl", [{"messages": talk(key, value, value)}])) == [None] * 4
