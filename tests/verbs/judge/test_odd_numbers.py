"""Numbers of any length, halves of characters, deep nesting: in files or said by a judge, they are no tracebacks."""

from __future__ import annotations

import json

import pytest
from tests.tools import read_rows, write_rows
from tests.verbs.judge.contests import judge, outputs
from tests.verbs.judge.judged import annotation, games, match, preferred, save, shard, single

from tunescope.errors import InputError, SettingsError
from tunescope.verbs.judge.aspects import AspectsSettings, aspects
from tunescope.verbs.judge.pairwise import PairwiseSettings, pairwise
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute

LONG = "9" * 400
ODD = [LONG, f'"{LONG}"', "-1", "true", "[]", '"٣"', '"½"', '"1/2"']


def stored(folder, name, records, odd):
    """Write records with an odd number where they say "X"."""
    text = json.dumps(records) if name.endswith("json") else "\n".join(map(json.dumps, records))
    (folder / name).write_text(text.replace('"X"', odd), "utf-8")
    return name


def again(*files, **settings):
    return recompute(RecomputeSettings(files=files, draws=50, **settings)).result


@pytest.mark.parametrize("odd", ODD)
def test_odd_numbers_in_files_are_no_verdicts(workplace, odd):
    alpaca = again(stored(workplace, "a.json", [annotation(0, "X"), annotation(1, 1)], odd))
    assert (alpaca["n"], alpaca["n_unparsed"]) == (1, 1)
    graded = again(stored(workplace, "gpt-4_single.jsonl", [single(1, "X"), single(2, 5)], odd))
    assert graded["aspects"]["score"]["n"] == 1
    just = again(stored(workplace, "j.json", [shard(0, {"depth": "X"}), shard(1, {"depth": "4"})], odd))
    assert (just["aspects"]["depth"]["n"], just["aspects"]["depth"]["n_unparsed"]) == (1, 1)
    panda = again(stored(workplace, "p.json", [preferred(0, "X"), preferred(1, 1)], odd))
    assert panda["n"] == 1
    arena = again(stored(workplace, "m.jsonl", [games(0, "X", "A>B"), games(1, "A>B", "A>B")], odd))
    assert arena["n"] == 1


@pytest.mark.parametrize(
    "text",
    [f"[[{LONG}]]", f"{LONG} {LONG}", "[" * 50_000, '{"scores":' * 900 + "[8]" + "}" * 900, '{"a":' * 50_000, "[[½]]"],
)
@pytest.mark.parametrize("scores", ["stored", "text"])
def test_odd_replies_in_files_are_no_faults(workplace, text, scores):
    graded = save(workplace / "gpt-4_single.jsonl", [single(1, 5, judgment=text), single(2, 5)])
    assert again(graded, scores=scores)["aspects"]["score"]["n"] == (1 if scores == "text" else 2)
    pairs = save(workplace / "gpt-4_pair.jsonl", [match(1, "model_1", "model_1", g1_judgment=text)])
    assert again(pairs, scores=scores)["items"] == 1


def test_files_without_any_score_say_so_in_one_sentence(workplace):
    name = save(workplace / "none.json", [shard(0, None), shard(1, None)])
    expected = r'none.json: found no score in 2 records; expected a score or "N/A" in one aspect at least'
    for scores in ("stored", "text"):
        with pytest.raises(InputError, match=expected):
            again(name, scores=scores)
    save(workplace / "none.json", [shard(0, None, result='{"depth": {"reason": "So.", "score": "4"}}')])
    with pytest.raises(SettingsError, match=r"no score is stored in 1 record; .* hold some: type --scores text"):
        again(name)
    assert again(name, scores="text")["aspects"]["depth"]["mean"] == 4


REPLIES = {
    rf"\g<mark>: {LONG} 3": "no_verdict",
    r"\g<mark>: 999 3": "out_of_range",
    r"\g<mark>: ½ 3": "no_verdict",
    r"\g<mark>: ٣ ٤": "ok",
    "\ud800\n\\g<mark>: 3 4": "ok",
    f'{{"score_1": {LONG}, "score_2": 3}}': "out_of_range",
    '{"score_1": 1e400, "score_2": 3}': "out_of_range",
    '{"score_1": NaN, "score_2": 3}': "no_verdict",
    '{"score_1": 3, "score_2": 4, "reason": "\ud800"}': "ok",
    '{"a":' * 20_000 + "1" + "}" * 20_000: "no_verdict",
    "[" * 50_000: "no_verdict",
}


@pytest.mark.parametrize("reply", REPLIES)
def test_odd_replies_of_a_judge_have_a_reason(workplace, reply):
    files = [outputs(workplace / f"{who}.jsonl", who, {"Q?": who}) for who in ("ours", "theirs")]
    oracle = judge(workplace / "fake.jsonl", ("", reply))
    run = pairwise(PairwiseSettings(answers=tuple(files), oracle=oracle, draws=50))
    assert run.result["replies"][REPLIES[reply]] == 2
    assert again(str(run.path))["replies"] == run.result["replies"]


def test_an_aspect_off_the_scale_keeps_its_reason_and_the_others_their_scores(workplace):
    reply = {"code": "CODE", "depth": {"reason": "So.", "score": int(LONG)}, "clarity": "8/10", "safety": 4}
    text = json.dumps(reply).replace("CODE", r"\g<mark>")
    write_rows(workplace / "fake.jsonl", [{"pattern": r'.*"code": "(?P<mark>\w+)"', "reply": text, "expand": True}])
    settings = {"aspects": ("depth", "clarity", "safety", "engagement"), "draws": 50}
    files = (outputs(workplace / "ours.jsonl", "ours", {"Q?": "Ours"}),)
    run = aspects(AspectsSettings(answers=files, oracle="fake:fake.jsonl", **settings))
    (line,) = read_rows(run.path / "judgements.jsonl")
    assert line["scores"] == {
        "depth": {"score": None, "status": "unparsed", "reason": "So.", "why": "out_of_range"},
        "clarity": {"score": None, "status": "unparsed", "reason": None, "why": "other_scale"},
        "safety": {"score": 4, "status": "ok", "reason": None},
        "engagement": {"score": None, "status": "missing", "reason": None},
    }
