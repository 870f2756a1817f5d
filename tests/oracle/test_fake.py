"""fake:FILE: the first line whose pattern is found answers."""

import asyncio

import pytest

from tests.tools import write_rows
from tunescope.errors import InputError, RejectedRequest, RetryableError
from tunescope.oracle.api import parse_reply
from tunescope.oracle.body import Body
from tunescope.oracle.fake import Fake, read_fake


def reply(fake, text):
    asked = [{"role": "user", "content": text}]
    return parse_reply(Body(asyncio.run(fake.send(asked, {})).body))


def test_patterns_in_order(tmp_path):
    lines = [
        {"pattern": "^rate", "reply": r"Score: \1"},
        {"pattern": r"(?P<name>\w+) is (.*)\.", "reply": r"\2, says \g<name>", "expand": True},
        {"pattern": "", "reply": "else", "finish_reason": "length"},
    ]
    fake = Fake(read_fake(write_rows(tmp_path / "f.jsonl", lines)))
    assert reply(fake, "rate it").text == r"Score: \1"
    assert reply(fake, "Ada is\nhere.").text == "else"
    assert reply(fake, "Ada is here.").text == "here, says Ada"
    assert reply(fake, "?").finish_reason == "length"
    assert reply(fake, "12345").usage == {"prompt_tokens": 2, "completion_tokens": 1}


def test_no_pattern(tmp_path):
    fake = Fake(read_fake(write_rows(tmp_path / "f.jsonl", [{"pattern": "x", "reply": "y"}])))
    with pytest.raises(RejectedRequest, match="no pattern for this prompt"):
        reply(fake, "z")


def test_what_another_oracles_journal_may_have():
    with pytest.raises(RetryableError, match="a reply that isn't the API's"):
        parse_reply(Body(b"<html>"))


def test_files_that_are_no_fake(tmp_path):
    (tmp_path / "f").write_text('{"pattern": "(", "reply": ""}\n{"pattern": "a"}\n[1]\n{"pattern": "", "reply": ""}\n')
    with pytest.raises(InputError) as caught:
        read_fake(tmp_path / "f")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]
    groups = [{"pattern": "(a)", "reply": reply, "expand": True} for reply in (r"\1", r"\2", r"\g<name>")]
    with pytest.raises(InputError) as caught:
        read_fake(write_rows(tmp_path / "f", groups))
    assert [problem.line for problem in caught.value.problems] == [2, 3]
    (tmp_path / "f").write_text("\n")
    with pytest.raises(InputError, match="no lines"):
        read_fake(tmp_path / "f")
    with pytest.raises(InputError, match="No such file"):
        read_fake(tmp_path / "g")


def test_a_fake_need_not_say_how_it_ended(tmp_path):
    path = tmp_path / "fake.jsonl"
    path.write_text('{"pattern": "", "reply": "Hi", "finish_reason": null}\n')
    assert reply(Fake(read_fake(path)), "?").ending == "unknown"
