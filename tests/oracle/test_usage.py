"""What a call used: any `usage` a server may send, and every shape of a reply that was paid for."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.oracle.body import Body
from tunescope.oracle.budget import Budget, Price
from tunescope.oracle.call import make_call
from tunescope.oracle.journal import rejection
from tunescope.oracle.request import RenderedPrompt
from tunescope.oracle.usage import CallSize, count_bytes, estimate_tokens, measure_usage, read_usage

SIZE = CallSize(400, 1024)
"""100 tokens and 16 of a template, as estimated; at most 400 and 1,024."""
TEXT = "a word or so. " * 300
"""4,200 bytes: 1,050 tokens as estimated, at least 33, at most 4,200."""


def body(usage, content=TEXT, **message):
    reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **message}}]}
    return json.dumps(reply | ({} if usage == "missing" else {"usage": usage})).encode()


def used(usage, size=SIZE, content=TEXT, **message):
    measured = measure_usage(size, Body(body(usage, content, **message)))
    return measured.prompt, measured.completion, measured.is_estimated


SANE = {"prompt_tokens": 120, "completion_tokens": 900}


@pytest.mark.parametrize(
    ("usage", "prompt", "completion", "is_estimated"),
    [
        (SANE, 120, 900, False),
        (SANE | {"total_tokens": 1020}, 120, 900, False),
        (SANE | {"total_tokens": 9}, 120, 900, False),
        (SANE | {"total_tokens": -1}, 120, 900, False),
        (SANE | {"total_tokens": 1e30}, 120, 900, False),
        (SANE | {"total_tokens": 1120}, 120, 1000, False),  # thoughts that completion_tokens leave out
        ({"prompt_tokens": 120, "total_tokens": 1020}, 120, 900, False),
        ({"completion_tokens": 900, "total_tokens": 1020}, 120, 900, False),
        ({"prompt_tokens": 120.0, "completion_tokens": 900.0}, 120, 900, False),
        ({"input_tokens": 120, "output_tokens": 900}, 120, 900, False),
        ({"input_tokens": 20, "cache_read_input_tokens": 100, "output_tokens": 900}, 120, 900, False),
        (SANE | {"completion_tokens_details": {"reasoning_tokens": 700}}, 120, 900, False),
        ({"prompt_tokens": 120, "completion_tokens": 4201}, 120, 1050, True),  # more than bytes that came
        ({"prompt_tokens": 120, "completion_tokens": 32}, 120, 1050, True),
        ({"prompt_tokens": 120, "completion_tokens": 0}, 120, 1050, True),
        ({"prompt_tokens": 120}, 120, 1050, True),
        ({"completion_tokens": 900}, 116, 900, True),
        ({"prompt_tokens": 3, "completion_tokens": 900}, 116, 900, True),
        ({"prompt_tokens": 1424, "completion_tokens": 900}, 1424, 900, False),
        ({"prompt_tokens": 1425, "completion_tokens": 900}, 116, 900, True),
        ({"prompt_tokens": -5, "completion_tokens": -900}, 116, 1050, True),
        ({"prompt_tokens": 1e30, "completion_tokens": 10**30}, 116, 1050, True),
        ({"prompt_tokens": math.nan, "completion_tokens": math.inf}, 116, 1050, True),
        ({"prompt_tokens": "120", "completion_tokens": "900"}, 116, 1050, True),
        ({"prompt_tokens": True, "completion_tokens": True}, 116, 1050, True),
        ({"prompt_tokens": 120.5, "completion_tokens": 900.5}, 116, 1050, True),
        ({"prompt_tokens": None, "completion_tokens": None}, 116, 1050, True),
        ({"prompt_tokens": [120], "completion_tokens": {"n": 900}}, 116, 1050, True),
        ({"usage": SANE}, 116, 1050, True),
        ([SANE], 116, 1050, True),
        ({}, 116, 1050, True),
        (None, 116, 1050, True),
        (12, 116, 1050, True),
        ("missing", 116, 1050, True),
    ],
)
def test_a_count_is_believed_where_it_can_be_true(usage, prompt, completion, is_estimated):
    assert used(usage) == (prompt, completion, is_estimated)


def test_thoughts_that_are_counted_apart_may_be_longer_than_the_longest_reply():
    apart = {"prompt_tokens": 120, "completion_tokens": 9, "total_tokens": 5129}
    assert used(apart, content="short") == (120, 9, False)  # who says what the rest was?
    assert used(apart | {"completion_tokens_details": {"reasoning_tokens": 5000}}, content="short") == (
        120,
        5009,
        False,
    )
    absurd = apart | {"total_tokens": 10**9, "completion_tokens_details": {"reasoning_tokens": 10**9}}
    assert used(absurd, content="short") == (120, 9, False)


@pytest.mark.parametrize(
    ("message", "completion"),
    [
        ({"content": [{"type": "text", "text": "x" * 400}, {"type": "text", "text": "y" * 40}]}, 112),
        ({"content": None, "reasoning_content": "z" * 400}, 100),
        ({"content": "", "refusal": "I can't help with that, since it may hurt."}, 11),
        ({"content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{" + "q" * 394 + "}"}}]}, 100),
        ({"content": "中" * 100}, 75),
    ],
    ids=["parts", "thoughts", "refused", "a tool call", "Chinese"],
)
def test_all_that_came_counts(message, completion):
    measured = measure_usage(SIZE, Body(body("missing", **message)))
    assert (measured.completion, measured.is_reply) == (completion, True)


@pytest.mark.parametrize(
    "came",
    [
        b"<html>a page</html>" * 10,
        b"",
        b"data: {}\n\n",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'{"choices": []}',
        b"\xff" * 40,
    ],
)
def test_a_body_that_isnt_the_apis_counts_with_its_prompt(came):
    measured = measure_usage(SIZE, Body(came))
    assert measured[:2] == (116, -(-len(came) // 4))
    assert (measured.is_estimated, measured.is_reply) == (True, False)
    assert (measured.max_prompt, measured.max_completion) == (1424, min(len(came), max(1024, measured.completion)))


def test_a_record_of_our_own_costs_nothing():
    assert measure_usage(CallSize(0), Body(rejection("400: no")))[:4] == (0, 0, 0, 0)
    assert measure_usage(SIZE, Body(rejection("a server that says so")))[:2] == (116, 9)


def test_what_a_journal_of_format_1_knows():
    """A prompt's characters, of up to four bytes, and nothing of the longest reply."""
    measured = measure_usage(CallSize(100), Body(body("missing")))
    assert (measured.prompt, measured.max_prompt, measured.max_completion) == (41, 1424, 4200)
    assert used({"prompt_tokens": 390, "completion_tokens": 50_000}, CallSize(100)) == (390, 50_000, False)


def test_the_usage_of_an_answer():
    assert read_usage({"usage": SANE}) == SANE
    for usage in ({"prompt_tokens": 5}, {"prompt_tokens": -1, "completion_tokens": 2}, SANE | {"prompt_tokens": 10**9}):
        assert read_usage({"usage": usage}) is None


def test_a_prompts_bytes_hold_all_that_a_server_may_put_into_it():
    decoding = {"max_tokens": 10}
    plain = {"role": "user", "content": "日本語"}
    assert make_call(RenderedPrompt((plain,)), "m", decoding).size == (9, 10)
    assert make_call(RenderedPrompt((plain, plain)), "m", decoding).n_bytes == 34
    parts = {"role": "user", "content": [{"type": "text", "text": "日本語" * 100}]}
    assert make_call(RenderedPrompt((parts,)), "m", decoding).n_bytes > 900
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": "x" * 500}}]}
    assert make_call(RenderedPrompt((call,)), "m", decoding).n_bytes > 500
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"x": list(range(50))}}}]
    with_tools = make_call(RenderedPrompt((plain,), options={"tools": tools}), "m", decoding)
    assert with_tools.n_bytes == 9 + len(json.dumps(tools, indent=4))
    assert make_call(RenderedPrompt((plain,), {"title": "語" * 9}), "m", decoding).n_bytes > 9 + 27


def test_estimates_go_by_bytes():
    assert estimate_tokens("x" * 40) == estimate_tokens(40) == 10
    assert estimate_tokens("中文" * 20) == 30
    assert count_bytes("a\ud800") == 4


NUMBERS = st.one_of(st.integers(), st.integers(0, 6000), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
USAGES = st.one_of(
    NUMBERS,
    st.lists(NUMBERS, max_size=2),
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"]),
        NUMBERS,
    ),
)


@given(
    usage=USAGES,
    content=st.one_of(st.none(), st.text(max_size=300)),
    n_bytes=st.integers(1, 2000),
    most=st.integers(1, 99),
)
@hypothesis_settings(max_examples=examples(100), deadline=None)
def test_whatever_a_server_counts_it_is_between_what_came_and_what_there_was_room_for(usage, content, n_bytes, most):
    size = CallSize(n_bytes, most)
    measured = measure_usage(size, Body(body(usage, content)))
    n_reply = count_bytes(content or "")
    assert -(-n_bytes // 128) <= measured.prompt <= measured.max_prompt <= size.max_prompt
    assert -(-n_reply // 128) <= measured.completion <= measured.max_completion <= max(n_reply, most)


@given(
    calls=st.lists(
        st.tuples(st.text(min_size=1, max_size=200), st.text(max_size=60), st.floats(0, 1), st.floats(0, 1), USAGES),
        max_size=30,
    ),
    limit=st.integers(1000, 20_000),
)
@hypothesis_settings(max_examples=examples(60), deadline=None)
def test_what_is_truly_spent_never_passes_the_budget(calls, limit):
    """Spent is what a server counts where that can be true, else the truth: any tokenizer, template and reply."""
    for budget in (Budget(max_tokens=limit), Budget(max_cost=limit / 1e5, price=Price(2.0, 10.0))):
        spent = [0, 0]
        for prompt, reply, share, template, usage in calls:
            size = make_call(RenderedPrompt(({"role": "user", "content": prompt},)), "m", {"max_tokens": 240}).size
            if not budget.fits(*budget.most(size)):
                continue
            n_prompt, n_reply = count_bytes(prompt), count_bytes(reply)
            truth = {
                "prompt_tokens": max(-(-n_prompt // 128), round(share * n_prompt)) + round(template * 1024),
                "completion_tokens": max(-(-n_reply // 128), round(share * n_reply)),
            }
            assert measure_usage(size, Body(body(truth, reply)))[:2] == (*truth.values(),)
            measured = measure_usage(size, Body(body(usage, reply)))
            is_told = measured.prompt == measured.max_prompt, measured.completion == measured.max_completion
            for place, (told, true) in enumerate(zip(measured[:2], truth.values(), strict=True)):
                spent[place] += told if is_told[place] else true
            budget.use(measured, size)
        if budget.price is None:
            assert sum(spent) <= limit
        else:
            assert budget.price.of(*spent) <= limit / 1e5
