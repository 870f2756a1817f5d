"""`repair reflect --select`: scores equal their definitions, computed anew, and the student's word is kept."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
from collections import Counter

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tests.tools import ROOT, alpaca, read_rows, write_rows  # noqa: E402

from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.oracle.retry import ItemClock  # noqa: E402
from tunescope.rows import open_rows  # noqa: E402
from tunescope.verbs.repair.reflect import ReflectSettings, reflect  # noqa: E402
from tunescope.verbs.repair.student import COLUMNS, TIE  # noqa: E402

GUESS = """Somebody was given an instruction and wrote this:

{}

What was the instruction? Write it down, and nothing else."""
INSTRUCTIONS = [
    "What does Bor work as?",
    "Which pet does Ana have?",
    "Say yes.",
    "Where does the baker live, and with whom?",
    "What is the colour of the sky in the evening when it rains?",
    "Name three animals.",
    "List a number",
    "Is red a colour of the sky?",
]
RESPONSES = [
    "Bor works as a baker.",
    "A cat and a dog.",
    "yes",
    "In Lund.",
    "red",
    "a cat, a dog, a pony",
    "7",
    "It is.",
]
BETTER = "In the town of Lund, which is blue, there lives a {}."


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture(scope="module")
def reference(model):
    """Both ratios of a pair, from whole logits of one sequence at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    whole = transformers.AutoModelForCausalLM.from_pretrained(model).eval()

    def loss(context, ids):
        with torch.inference_mode():
            logits = whole(torch.tensor([[*context, *ids]])).logits[0]
        places = torch.arange(len(context) - 1, len(context) + len(ids) - 1)
        return -logits.log_softmax(-1)[places, torch.tensor(ids)].double().mean().item()

    def ifd(instruction, response):
        messages = [{"role": "user", "content": instruction}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        return math.exp(loss(prompt, ids) - loss([tokenizer.bos_token_id], ids))

    def rifd(instruction, response):
        return ifd(GUESS.format(response), instruction)

    return {"ifd": ifd, "rifd": rifd}


def first(instruction, response):
    return f"<new_instruction>\n{instruction}\n</new_instruction>\n<new_response>\n{response}\n</new_response>"


def second(response):
    return f"<new_response>\n{response}\n</new_response>"


def line(pattern, reply, **more):
    return {"pattern": pattern, "reply": reply, **more}


def rewrites(old, instruction, response, better):
    """Return the fake's replies: to the first stage, and to the second with either instruction."""
    shown = [rf" instruction ===\n{re.escape(text)}\n\n" for text in (old, instruction)]
    return [
        line(f"{shown[0]}.*<new_instruction>", first(instruction, response)),
        line(f"{shown[0]}(?!.*<new_instruction>)", second(better)),
        line(f"{shown[1]}(?!.*<new_instruction>)", second(better)),
    ]


def reflected(folder, rows, fake, **settings):
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "fake.jsonl", fake)
    return reflect(ReflectSettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl", **settings))


def user(row):
    return f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]


def test_scores_and_decisions_by_definition(workplace, model, reference):
    rows = [alpaca(*pair) for pair in zip(INSTRUCTIONS, RESPONSES, strict=True)]
    for row in rows[::3]:
        row["input"] = "Given: a cat."
    fake = []
    for number, row in enumerate(rows):
        others = INSTRUCTIONS[number - 1], RESPONSES[number - 3]
        texts = (f"{others[0]} And why, {number}?", f"{others[1]} So {number}.", BETTER.format(RESPONSES[number - 5]))
        fake += rewrites(row["instruction"], *texts)
    run = reflected(workplace, rows, fake, select=True, model=model)
    expected, kept = [], {"instruction": Counter(), "response": Counter()}
    table = run.tables["repairs"].to_pylist()
    for number, (row, cells) in enumerate(zip(rows, table, strict=True)):
        new = row | {
            "instruction": f"{INSTRUCTIONS[number - 1]} And why, {number}?",
            "output": f"{RESPONSES[number - 3]} So {number}.",
        }
        old_ifd, new_ifd = (reference["ifd"](user(r), r["output"]) for r in (row, new))
        assert (cells["ifd_old"], cells["ifd_new"]) == pytest.approx((old_ifd, new_ifd), rel=1e-4)
        rises = new_ifd > old_ifd * (1 + TIE)
        stands = new if rises else row
        better = stands | {"output": BETTER.format(RESPONSES[number - 5])}
        old_rifd, new_rifd = (reference["rifd"](user(r), r["output"]) for r in (stands, better))
        assert (cells["rifd_old"], cells["rifd_new"]) == pytest.approx((old_rifd, new_rifd), rel=1e-4)
        falls = old_rifd > new_rifd * (1 + TIE)
        assert (cells["instruction_selected"], cells["response_selected"]) == (rises, falls)
        assert cells["status"] == "ok"
        words = ["kept" if stays else "rejected" for stays in (rises, falls)]
        assert cells["reason"] == (
            f"{'reflected' if rises or falls else 'rejected by the student'}: "
            f"instruction ok and {words[0]} (ifd_ppl {cells['ifd_new']:.4g}, was {cells['ifd_old']:.4g}), "
            f"response ok and {words[1]} (rifd_ppl {cells['rifd_new']:.4g}, was {cells['rifd_old']:.4g})"
        )
        kept["instruction"][rises] += 1
        kept["response"][falls] += 1
        expected.append(better if falls else stands)
    assert read_rows(run.path / "rows.jsonl") == expected
    assert run.result["statuses"]["ok"] == len(rows)
    for stage, counts in kept.items():
        assert counts[True] > 0
        assert counts[False] > 0
        selection = run.result[f"{stage}_selection"]
        assert selection.pop("share_kept")["share"] == counts[True] / len(rows)
        assert selection == {
            "proposed": len(rows),
            "kept": counts[True],
            "rejected": counts[False],
            "not_scored": 0,
            "not_scored_by": {},
        }
    mean = run.result["rifd_new"]
    assert mean["mean"] == pytest.approx(sum(row["rifd_new"] for row in table) / len(rows))
    assert (mean["n"], mean["n_missing"]) == (len(rows), 0)
    unchanged = sum(row == new for row, new in zip(rows, expected, strict=True))
    assert run.result["kept_by"] == ({"rejected by the student": unchanged} if unchanged else {})
    assert run.info["device"] == "oracle, student on cpu"
    assert run.result["student"] == f"{model}, itself instruction-tuned (it brings a chat template)"


def only(run):
    """Return the one row written, and its line in the table."""
    (written,) = read_rows(run.path / "rows.jsonl")
    (row,) = run.tables["repairs"].to_pylist()
    return written, row


def rising(reference, instruction, response):
    """Return a new pair whose IFD rises, and one whose IFD falls."""
    pairs = sorted((reference["ifd"](a, s), a, s) for a in INSTRUCTIONS for s in RESPONSES)
    score = reference["ifd"](instruction, response)
    assert pairs[0][0] < score * 0.99 < score * 1.01 < pairs[-1][0]
    return pairs[-1][1:], pairs[0][1:]


@pytest.mark.parametrize("rises", [True, False])
def test_an_instruction_stays_where_its_ifd_rises(workplace, model, reference, rises):
    row = alpaca(INSTRUCTIONS[0], RESPONSES[0])
    instruction, response = rising(reference, INSTRUCTIONS[0], RESPONSES[0])[not rises]
    run = reflected(
        workplace, [row], [line("", first(instruction, response))], select=True, model=model, stage="instruction"
    )
    written, cells = only(run)
    assert written == ({**row, "instruction": instruction, "output": response} if rises else row)
    assert (cells["action"], cells["instruction_selected"]) == ("changed" if rises else "kept", rises)
    assert [cells[name] for name in ("rifd_old", "rifd_new", "response_selected")] == [None] * 3
    assert cells["instruction_words_after"] == len(written["instruction"].rstrip("?.").split())


def test_a_response_stays_where_its_r_ifd_falls(workplace, model, reference):
    scores = sorted((reference["rifd"](INSTRUCTIONS[0], response), response) for response in RESPONSES)
    (_, low), (_, high) = scores[0], scores[-1]
    for old, new, falls in ((high, low, True), (low, high, False)):
        row = alpaca(INSTRUCTIONS[0], old)
        run = reflected(workplace, [row], [line("", second(new))], select=True, model=model, stage="response")
        written, cells = only(run)
        assert (written["output"], cells["response_selected"]) == ((new, True) if falls else (old, False))
        assert cells["ifd_old"] is cells["instruction_selected"] is None
        assert run.result["response_selection"]["kept"] == falls
        assert "instruction_selection" not in run.result


def test_the_same_text_again_is_rejected(workplace, model):
    run = reflected(
        workplace,
        [alpaca(INSTRUCTIONS[1], RESPONSES[1])],
        rewrites(INSTRUCTIONS[1], INSTRUCTIONS[1], RESPONSES[1], RESPONSES[1]),
        select=True,
        model=model,
    )
    _, cells = only(run)
    assert (cells["instruction_selected"], cells["response_selected"], cells["action"]) == (False, False, "kept")
    assert cells["ifd_new"] == pytest.approx(cells["ifd_old"], rel=TIE / 10)
    assert run.result["kept_by"] == {"rejected by the student": 1}


def test_what_cant_be_scored_keeps_the_old_text(workplace, model):
    limit = transformers.AutoConfig.from_pretrained(model).max_position_embeddings
    rows = [alpaca(*pair) for pair in zip(INSTRUCTIONS[:4], RESPONSES[:4], strict=True)]
    rows[3]["output"] = "A literal <|end|> stands here."
    fake = [
        *rewrites(INSTRUCTIONS[0], "Better?", "cat " * limit, "dog " * limit),
        *rewrites(INSTRUCTIONS[1], "What is <|end|>?", "A mark.", "It is <|end|>."),
        line(re.escape(INSTRUCTIONS[2]), "I'm sorry, but I can't help with that."),
        *rewrites(INSTRUCTIONS[3], "Why?", "So.", "Because."),
    ]
    run = reflected(workplace, rows, fake, select=True, model=model)
    assert read_rows(run.path / "rows.jsonl") == rows
    long, marked, refused, old = run.tables["repairs"].to_pylist()
    assert long["reason"].startswith(
        "not scored: instruction ok and not scored (too long: the new pair: "
        f"ppl_response: {limit + 1} tokens, the model takes {limit}; ppl_response_given: "
    )
    assert marked["instruction_not_scored"] == (
        "not rendered: the new pair: the model's own special token <|end|> as text in message 0"
    )
    assert marked["response_not_scored"] == marked["instruction_not_scored"].replace("pair", "pair reversed")
    assert old["instruction_not_scored"].startswith("not rendered: the old pair: ")
    assert refused["reason"] == "fallback: instruction refused, response refused"
    assert [refused[name] for name in COLUMNS] == [None] * len(COLUMNS)
    for cells in (long, marked):
        assert cells["ifd_old"] > 0
        assert cells["ifd_new"] is cells["instruction_selected"] is cells["response_selected"] is None
    assert (old["ifd_old"], old["ifd_new"] > 0) == (None, True)
    for stage in ("instruction", "response"):
        selection = run.result[f"{stage}_selection"]
        counts = [selection[name] for name in ("proposed", "kept", "rejected", "not_scored")]
        assert counts == [3, 0, 0, 3]
        assert selection["not_scored_by"] == {"not rendered": 2, "too long": 1}
        assert selection["share_kept"]["share"] is None
    assert (run.result["ifd_new"]["n"], run.result["ifd_new"]["n_missing"]) == (1, 3)
    assert run.result["kept_by"] == {"fallback": 1, "not scored": 3}
    (reasons,) = [table for table in run.view.tables if table.title == "Not scored"]
    assert [tuple(cells) for cells in reasons.rows] == [
        (stage, *counts) for stage in ("instruction", "response") for counts in (("not rendered", 2), ("too long", 1))
    ]


def test_an_input_is_scored_as_it_will_be_written(workplace, model):
    """Alpaca's template writes instruction and input apart: so for the new pair, as `measure` does when it is read."""
    from tunescope.verbs.measure import MeasureSettings, measure

    row = alpaca(INSTRUCTIONS[0], RESPONSES[0], input="Given: a cat.")
    new = row | {"instruction": "Better?", "output": "A better baker."}
    run = reflected(
        workplace,
        [row],
        [line("", first(new["instruction"], new["output"]))],
        select=True,
        stage="instruction",
        model=model,
        template="alpaca",
    )
    _, cells = only(run)
    write_rows(workplace / "both.jsonl", [row, new])
    measured = measure(
        MeasureSettings(rows=("both.jsonl",), model=model, template="alpaca", without=("coherence", "lengths"))
    )
    expected = [turn["ifd_ppl"] for turn in measured.tables["turns"].to_pylist()]
    assert [cells["ifd_old"], cells["ifd_new"]] == pytest.approx(expected, rel=1e-6)


def test_scores_dont_depend_on_company(workplace, model):
    """To the bit: a killed run that goes on must not decide otherwise."""
    rows = [alpaca(*pair) for pair in zip(INSTRUCTIONS, RESPONSES, strict=True)]
    fake = [
        reply
        for number, row in enumerate(rows)
        for reply in rewrites(row["instruction"], f"Better {number}?", "So it is.", "It is so.")
    ]
    at_once = reflected(workplace, rows, fake, select=True, model=model, concurrency=8, out="at_once")
    one_by_one = reflected(workplace, rows, fake, select=True, model=model, concurrency=1, out="one_by_one")
    assert at_once.tables["repairs"].equals(one_by_one.tables["repairs"])
    alone = reflected(workplace, rows[3:4], fake, select=True, model=model)
    names = list(COLUMNS)
    assert alone.tables["repairs"].select(names).to_pylist() == at_once.tables["repairs"].select(names).to_pylist()[3:4]


def test_the_time_of_scoring_isnt_the_rows():
    async def work():
        clock = ItemClock(1)
        await clock.off_the_clock(asyncio.sleep(0))
        assert clock.ends is None
        ends, now = clock.start(), asyncio.get_running_loop().time()
        assert await clock.off_the_clock(asyncio.sleep(0.02, "done")) == "done"
        return clock.ends - ends, asyncio.get_running_loop().time() - now

    more, passed = asyncio.run(work())
    assert 0.015 < more <= passed


def test_without_select_no_model_is_there(workplace):
    """Neither loaded nor in the key; an option of its own is refused."""
    rows, fake = [alpaca(INSTRUCTIONS[0], RESPONSES[0])], rewrites(INSTRUCTIONS[0], "B?", "b", "c")
    run = reflected(workplace, rows, fake)
    assert not set(run.tables["repairs"].column_names) & set(COLUMNS)
    assert not any("model" in name or "student" in name for name in run.info["inputs"])
    code = (
        "import sys\nfrom tunescope.verbs import in_python\n"
        "in_python('repair reflect')(rows='rows.jsonl', oracle='fake:fake.jsonl', out='again')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=workplace, env={"PYTHONPATH": str(ROOT / "src")}, check=True)
    for option in ({"model": "tiny"}, {"template": "chatml"}, {"template_arg": ("a=1",)}, {"device_map": "cpu"}):
        name = next(iter(option)).replace("_", "-")
        with pytest.raises(SettingsError, match=rf"--{name} without --select: .*add --select or leave it out"):
            reflected(workplace, rows, fake, **option)


def test_the_key_knows_the_student(workplace, model, tmp_path):
    other = str(save_random_model(tmp_path / "other", seed=1))
    rows, fake = [alpaca(INSTRUCTIONS[0], RESPONSES[0])], rewrites(INSTRUCTIONS[0], "B?", "b", "c")
    plans = [reflected(workplace, rows, fake, plan=True, **s) for s in ({}, {"select": True, "model": model})]
    assert plans[0].key == plans[1].key
    assert plans[0].result["calls"] == 2
    runs = [
        reflected(workplace, rows, fake, **settings)
        for settings in (
            {},
            {"select": True, "model": model},
            {"select": True, "model": other},
            {"select": True, "model": model, "template": "chatml"},
        )
    ]
    assert len({run.key for run in runs}) == 4
    plans = [reflected(workplace, rows, fake, plan=True, **s) for s in ({}, {"select": True, "model": model})]
    assert [(plan.result["calls"], plan.result["free"]) for plan in plans] == [(0, 2), (1, 1)]  # it isn't asked there


def test_a_student_without_a_template_is_refused_before_anything_is_asked(workplace, model):
    folder = workplace / "plain"
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = None
    transformers.AutoModelForCausalLM.from_pretrained(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    rows, fake = [alpaca(INSTRUCTIONS[0], RESPONSES[0])], rewrites(INSTRUCTIONS[0], "B?", "b", "c")
    with pytest.raises(SettingsError, match="has no chat template; type --template"):
        reflected(workplace, rows, fake, select=True, model=str(folder))
    assert not list(workplace.glob("runs/*/journal.sqlite"))


def test_the_lineage_says_what_was_decided(workplace, model, reference):
    instruction, response = rising(reference, INSTRUCTIONS[0], RESPONSES[0])[0]
    run = reflected(
        workplace,
        [alpaca(INSTRUCTIONS[0], RESPONSES[0])],
        [line("", first(instruction, response))],
        select=True,
        model=model,
        stage="instruction",
    )
    (after,) = open_rows([str(run.path / "rows.jsonl")])
    (step,) = after.lineage
    assert step.reason == only(run)[1]["reason"]
    assert step.reason.startswith("reflected: instruction ok and kept (ifd_ppl ")
    assert "+" not in step.prompt_hash  # the prompts alone: the student has none that the oracle sees
