"""Hugging Face data sets: saved folders, and an id when there is no network; pipes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from row_files import back, problems, put, write_again

from tunescope.errors import InputError
from tunescope.rows import Message, open_rows
from tunescope.rows.containers import content_hash

datasets = pytest.importorskip("datasets")

CHAT = [
    {"messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "b"}], "score": 0.5, "k": 1},
    {"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}], "score": None, "k": 2},
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    datasets.Dataset.from_list(CHAT).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_data_set_is_read_and_written_as_parquet(saved: Path, tmp_path: Path) -> None:
    rows = open_rows([str(saved)])
    file = rows.files[0]
    assert (file.container, file.layout.format, file.hash) == ("hub", "messages", content_hash(saved))
    found = list(rows)
    assert [row.fields for row in found] == CHAT
    assert [(row.line, row.file) for row in found] == [(1, str(saved)), (2, str(saved))]
    assert [row for chunk in file.chunks() for row in file.rows(chunk)] == found
    out = write_again(rows, tmp_path)
    assert out.name == "out.parquet"
    assert back(out) == CHAT
    assert datasets.Dataset.from_parquet(str(out)).features == datasets.load_from_disk(saved).features
    assert b"huggingface" in pq.read_schema(out).metadata
    assert [row.id for row in open_rows([str(out)])] == [row.id for row in found]


def test_a_selection_of_a_data_set_is_read_in_its_order(tmp_path: Path) -> None:
    datasets.Dataset.from_list(CHAT).select([1, 0]).save_to_disk(tmp_path / "saved")
    assert [row.fields for row in open_rows([str(tmp_path / "saved")])] == CHAT[::-1]


def test_a_saved_data_set_with_splits(tmp_path: Path) -> None:
    one, two = ([{"instruction": name, "output": "b"}] for name in ("one", "two"))
    whole = datasets.DatasetDict(train=datasets.Dataset.from_list(one), test=datasets.Dataset.from_list(two))
    whole.save_to_disk(tmp_path / "saved")
    assert [row.instruction for row in open_rows([str(tmp_path / "saved")])] == ["one"]
    assert [row.instruction for row in open_rows([f"{tmp_path}/saved:test"])] == ["two"]
    assert problems(f"{tmp_path}/saved:dev") == [
        "saved:dev: found the splits train, test; expected one called 'dev'",
        "Name the split, for example saved:train.",
    ]
    del whole["train"]
    whole.save_to_disk(tmp_path / "only")
    assert [row.instruction for row in open_rows([str(tmp_path / "only")])] == ["two"]


def test_a_saved_data_set_with_bad_rows(tmp_path: Path) -> None:
    records = [{"instruction": "a", "output": "b", "n": 0.5}, {"instruction": "a", "output": None, "n": float("nan")}]
    datasets.Dataset.from_list(records).save_to_disk(tmp_path / "saved")
    assert (
        problems(tmp_path / "saved")[0]
        == "saved:2: found NaN or infinity in column 'n'; expected finite numbers or null"
    )
    assert [row.line for row in open_rows([str(tmp_path / "saved")], on_bad="skip")] == [1]


def test_a_saved_data_set_that_lost_a_file(saved: Path) -> None:
    next(saved.glob("*.arrow")).unlink()
    assert problems(saved)[0].startswith("saved: found no data set that opens (FileNotFoundError: ")


OFFLINE = """
import sys
from tunescope.errors import InputError
from tunescope.rows import open_rows
for name in sys.argv[1:]:
    try:
        open_rows([name])
    except InputError as error:
        print(error)
"""


@pytest.mark.slow
def test_an_id_without_a_network_is_one_sentence_at_once(tmp_path: Path) -> None:
    names = ["nobody/nothing", "nobody/nothing:test", "nobody/nothing:config:train[:10]", "dta/rows.json"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    started = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE, *names],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert time.monotonic() - started < 30
    *ids, path = run.stdout.splitlines()
    assert len(ids) == 3
    for name, line in zip(names, ids, strict=False):
        assert line == (
            f"{name}: found no file or folder of that name, and the hub can't be reached, nor is there a copy in its "
            "cache; expected a file or folder that is here, or a data set's id"
        )
    assert path == "dta/rows.json: found no such file; expected a file, a glob, - or a data set id"


PIPED = """
import json
from tunescope.rows import open_rows
rows = open_rows(["-"])
file = rows.files[0]
print(json.dumps([[(row.response, row.file, row.line) for row in rows], file.container, str(file.path)]))
"""


@pytest.mark.parametrize("container", ["json", "json.gz"])
def test_rows_from_a_pipe(container: str) -> None:
    data = json.dumps([{"instruction": "a", "output": "b"}]).encode()
    data = gzip.compress(data) if container == "json.gz" else data
    run = subprocess.run([sys.executable, "-c", PIPED], input=data, capture_output=True, check=True)
    rows, found, copy = json.loads(run.stdout)
    assert (rows, found) == ([["b", "-", 1]], container)
    assert not Path(copy).exists()


def test_rows_from_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"instruction": "a", "output": "b"}\n',))
    writer.start()
    assert [(row.response, row.file) for row in open_rows([str(pipe)])] == [("b", str(pipe))]
    writer.join()


def test_an_empty_pipe() -> None:
    run = subprocess.run([sys.executable, "-c", OFFLINE, "-"], input=b"", capture_output=True, check=True)
    assert run.stdout == b"-: found an empty file; expected at least one row\n"


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    put(tmp_path / "in.jsonl", [{"instruction": "a", "output": "b"}])
    with pytest.raises(InputError, match="found a directory; expected a file, a glob or a data set id"):
        open_rows([str(tmp_path)])


def test_a_conversation_of_a_data_set_is_the_same_as_anywhere(saved: Path) -> None:
    assert next(iter(open_rows([str(saved)]))).messages == (Message("user", "é"), Message("assistant", "b"))
