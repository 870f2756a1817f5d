"""The nine sources: what each makes of a record of its schema, and what it says of its local copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.verbs.falsify.small_sources import RECORDS, write_sources

from tunescope.errors import InputError
from tunescope.verbs.falsify import sources
from tunescope.verbs.falsify.items import all_sources, read_sources
from tunescope.verbs.falsify.source import LocalCopy

DOMAINS = {
    "domain knowledge": {"qasc", "sciq"},
    "commonsense": {"commonsense_qa", "openbookqa", "winogrande"},
    "complex reasoning": {"aqua_rat", "quartz"},
    "programming": {"conala", "mbpp"},
}
"""Section 2.1 of the FACO paper."""


def first(name: str, folder: Path):
    (items,) = read_sources([name], str(folder))
    return items.items[0].item


@pytest.fixture
def data(workplace):
    return write_sources(workplace / "data")


def test_the_papers_nine_in_its_four_domains_a_file_each():
    known = all_sources()
    assert {path.stem for path in Path(sources.__file__).parent.glob("[a-z]*.py")} == {*known}
    assert {name: {s for s in known if known[s].domain == name} for name in DOMAINS} == DOMAINS
    for source in known.values():
        assert not [path for path in source.train if "test" in path or "valid" in path]


@pytest.mark.parametrize(
    ("name", "prompt", "gold", "explanation"),
    [
        ("commonsense_qa", "Which is number 0?\n\n" + "\n".join(f"{c.upper()}) option 0 {c}x" for c in "abcde"), 1, ""),
        ("qasc", "Which is number 0?\n\n" + "\n".join(f"{c.upper()}) option 0 {c}x" for c in "abcdefgh"), 2, "fact 0"),
        (
            "openbookqa",
            "Which one is number 0?\n\n" + "\n".join(f"{c.upper()}) option 0 {c}x" for c in "abcd"),
            1,
            "a fact",
        ),
        ("quartz", "Which is number 0?\n\nA) option 0 ax\nB) option 0 bx", 0, "More of it."),
        (
            "winogrande",
            "What does the blank _ stand for?\nThe cat saw the dog and _ ran 0.\n\nA) cat\nB) dog",
            0,
            "",
        ),
        ("aqua_rat", "How much is 0 + 1?\n\nA) 7\nB) $8\nC) 9\nD) 10\nE) None of these", 3, "One counts."),
        ("conala", "Write Python code for this: sort list `x`", 0, ""),
        (
            "mbpp",
            "Write a function for number 1.\n\nThe code has to pass these tests:\n\nassert one(1) == 2",
            0,
            "",
        ),
    ],
)
def test_a_record_becomes_an_item(name, prompt, gold, explanation, data):
    item = first(name, data)
    assert (item.prompt, item.gold, item.explanation) == (prompt, gold, explanation)


def test_code_is_the_answer_of_programming_questions(data):
    assert first("conala", data).code == "x.sort()"
    assert first("mbpp", data).code == "def one(n):\n    return n + 1"


def test_sciqs_options_have_an_order_of_their_own(data):
    (items,) = read_sources(["sciq"], str(data))
    for placed in items.items:
        assert {*placed.item.options} == {"right", "wrong 1", "wrong 2", "wrong 3"}
        assert placed.item.options[placed.item.gold] == "right"
    assert len({placed.item.gold for placed in items.items}) > 1


def test_what_a_copy_is():
    source = all_sources()["qasc"]
    copy = LocalCopy(path=Path("x"), is_stand_in=False)
    assert source.describe(copy, 8134) == "full: 8,134 training rows"
    assert source.describe(copy, 500) == "part: 500 of 8,134 training rows"
    assert source.describe(copy, 81) == "schema only: 81 of 8,134 training rows"
    assert source.describe(LocalCopy(path=Path("x"), is_stand_in=True), 9) == "stand-in: 9 rows of another split"


def test_a_training_split_comes_before_a_stand_in(data):
    (items,) = read_sources(["winogrande"], str(data))
    assert items.copy == "stand-in: 3 rows of another split"
    path = data / "winogrande/train_from_validation.jsonl"
    path.rename(data / "winogrande/train.jsonl")
    (items,) = read_sources(["winogrande"], str(data))
    assert items.copy == "schema only: 3 of 40,398 training rows"


@pytest.mark.parametrize("name", sorted(all_sources()))
def test_a_record_without_a_column_is_refused(name, data):
    file = next(file for file in RECORDS if f"/{file}".rpartition("/")[0].endswith(f"/{name}"))
    (data / f"{file}.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(InputError, match=rf"{file}.jsonl:1: found the columns id; expected .* it is no question"):
        read_sources([name], str(data))


def test_an_answer_that_is_not_among_the_choices_is_refused(data):
    path = data / "quartz/train.jsonl"
    path.write_text(path.read_text().replace('"answerKey": "A"', '"answerKey": "C"'))
    with pytest.raises(InputError, match=r"train.jsonl:1: .*the answer 'C' is none of the labels A, B"):
        read_sources(["quartz"], str(data))
