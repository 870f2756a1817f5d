"""In Python: what is in memory goes where a file or a run folder goes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

import tunescope
from tunescope.errors import UsageError

RECORDS = [{"instruction": "Name a river.", "output": "The Nile."}, {"instruction": "Why?", "output": ""}]


def forms() -> dict[str, object]:
    table = pa.Table.from_pylist(RECORDS)
    made: dict[str, object] = {"list": RECORDS, "tuple": tuple(RECORDS), "arrow": table}
    made["pandas"] = pytest.importorskip("pandas").DataFrame(RECORDS)
    made["datasets"] = pytest.importorskip("datasets").Dataset.from_list([*RECORDS, *RECORDS]).select([2, 1])
    return made


@pytest.mark.slow
def test_rows_in_memory(workplace: Path) -> None:
    Path("rows.json").write_text(json.dumps(RECORDS))
    expected = tunescope.check("rows.json").result["faults"]
    assert expected["empty_answer"] == 1
    assert tunescope.check(Path("rows.json")).result["faults"] == expected
    for name, value in forms().items():
        run = tunescope.check(value)
        assert run.result["faults"] == expected, name
        assert tunescope.check(value).path == run.path, name
        assert tunescope.why(run.tables["faults"]["row_id"][0].as_py()).result["messages"][0]["content"], name
    assert tunescope.check([RECORDS[0]]).result["rows"] == 1
    assert tunescope.check(rows=["rows.json", pa.Table.from_pylist(RECORDS)]).result["rows"] == 4


def test_runs_where_folders_go(workplace: Path) -> None:
    checked = tunescope.check(RECORDS)
    kept = tunescope.select(RECORDS, from_=checked, where="faulty = false")
    assert kept.result["kept"] == 1
    assert tunescope.compare(RECORDS, kept).result["removed"] == 1
    assert tunescope.report([checked, kept]).path.is_dir()
    assert "<table" in kept._repr_html_()
    assert "<table" in tunescope.why(checked.tables["rows"]["row_id"][0].as_py())._repr_html_()


def test_prompts_and_answers(workplace: Path) -> None:
    answered = tunescope.answer([{"prompt": "Hi?"}], model="microworld", max_new_tokens=2)
    assert len(list(answered.records("answers"))) == 1
    answers = [{"instruction": "Name a river?", "output": "The Nile.", "generator": "m"}]
    others = [{"instruction": "Name a river?", "output": "The Elbe.", "generator": "n"}]
    assert tunescope.compare(answers, others).result["changed"] == 1


def test_what_no_file_can_hold(workplace: Path) -> None:
    with pytest.raises(UsageError, match=r"rows, record 1: found what JSON can't hold \(Object of type set"):
        tunescope.check([{"instruction": {1}, "output": ""}])
    data = pytest.importorskip("datasets")
    splits = data.DatasetDict({"train": data.Dataset.from_list(RECORDS)})
    with pytest.raises(UsageError, match=r"rows: found a DatasetDict of the splits train; give one, such as data\['tr"):
        tunescope.check(splits)


def test_only_what_is_public_is_listed() -> None:
    assert {"check", "open", "models", "trace_index"} <= {*dir(tunescope)}
    assert not [name for name in dir(tunescope) if name in ("Any", "annotations") or name.startswith("_T")]
