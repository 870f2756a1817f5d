"""The X-ray's data: what stands on the page is what stands in the runs' tables."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from html import unescape
from html.parser import HTMLParser

import pandas
import pytest
from tests.verbs.report.xray_runs import (
    HandSettings,
    answer_of,
    answer_run,
    attribute_run,
    estimate,
    flagged_of,
    many,
    shift_result,
    shift_run,
    span_of,
    span_row,
    token_rows,
    trace_run,
)
from tests.verbs.report.xray_scene import HOSTILE, PROMPTS, data_of, page_of, scene, sliced

from tunescope.errors import RunError
from tunescope.models.names import ModelNames
from tunescope.results.record import schema
from tunescope.results.shift import ShiftAnswer, ShiftTokens
from tunescope.runs import Outcome, execute, out_field
from tunescope.verbs.report import ReportSettings, report
from tunescope.views import View


def three(value):
    """Round to three significant digits; None for missing."""
    return None if value is None or value != value else float(f"{value:.3g}")


def dense(flat, count):
    """Spell out a list of (distance, value)."""
    values, at = [0] * count, 0
    for distance, value in zip(flat[::2], flat[1::2], strict=True):
        at += distance
        values[at] = value
    return values


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    runs = scene(folder)
    return runs, page_of(runs, folder / "page")


def shown_answers(data, run):
    """Yield (answer on the page, answer id) of the column that a run is in."""
    number = next(n for n, column in enumerate(data["columns"]) if str(run.path) in (column["shift"], column["trace"]))
    return {answer["id"]: answer for p in data["prompts"] if (answer := p["answers"][number]) is not None}


def check_tokens(run, data):
    """Assert that every token of a shift run is on the page with its text, class and numbers."""
    shown, seen = shown_answers(data, run), 0
    table = pandas.read_parquet(run.path / "tokens.parquet")
    for ident, tokens in table.groupby("answer_id", sort=False):
        answer = shown[ident]
        count = len(answer["lengths"])
        ends = [answer.get("lead", 0) + sum(answer["lengths"][: n + 1]) for n in range(count)]
        pieces = [sliced(answer["text"], end - n, end) for end, n in zip(ends, answer["lengths"], strict=True)]
        assert pieces == list(tokens["token"])
        assert answer["ranks"] == list(tokens["base_rank"])
        letters = {"u": "unshifted", "m": "marginal", "s": "shifted"}
        assert [letters[letter] for letter in answer["classes"]] == list(tokens["class"])
        for name, column in (("probs", "base_prob"), ("kls", "kl")):
            found = [None if value is None else value / 1000 for value in answer[name]]
            expected = [three(value) for value in tokens[column]]
            assert [value is None for value in found] == [value is None for value in expected]
            assert [v for v in found if v is not None] == pytest.approx(
                [v for v in expected if v is not None], rel=1e-9
            )
        for name, column in (("base_tops", "base_top_token"), ("tops", "top_token")):
            said = [data["strings"][n - 1] if n > 0 else n for n in dense(answer[name], count)]
            missing = -1 if name == "base_tops" else 0
            wanted = [
                missing if not isinstance(favourite, str) else 0 if favourite == token else favourite
                for favourite, token in zip(tokens[column], tokens["token"], strict=True)
            ]
            assert said == wanted
        assert answer["mean_kl"] == three(tokens["kl"].mean())
        assert answer["n"] == tokens["kl"].count()
        seen += count
    assert seen == len(table)


def check_spans(run, data):
    """Assert that every span and its first five rows are on the page, and say the same words there."""
    shown, rows = shown_answers(data, run), {row["row_id"]: row for row in run.records("rows")}
    by_answer = {ident: list(answer["spans"]) for ident, answer in shown.items()}
    for span in run.records("spans"):
        found, text = by_answer[span["answer_id"]].pop(0), shown[span["answer_id"]]["text"]
        assert sliced(text, found["start"], found["end"]) == span["text"]
        assert [found[name] for name in ("kind", "words", "count", "n_row_groups", "evidence")] == [
            span[name] for name in ("kind", "words", "count", "n_row_groups", "evidence")
        ]
        for name in ("bits", "ref_bits", "contrast_bits", "p_null", "score"):
            assert found[name] == three(span[name])
        assert data["strings"][found["null"] - 1] == span["null_source"]
        assert len(found["rows"]) + found["more"] == len(span["rows"])
        for row, (number, in_field, edits, size, bits, likeness, cosine, shared) in zip(
            span["rows"], found["rows"], strict=False
        ):
            there = data["rows"][number]
            name, part, before, after = there["fields"][in_field]
            whole = rows[row["row_id"]]["fields"][row["field"]]
            assert (there["id"], name, there["place"]) == (row["row_id"], row["field"], f"{row['file']}:{row['line']}")
            assert whole == whole[:before] + part + whole[len(whole) - after :]
            assert (edits, size) == (row["edits"], row["group_size"])
            assert [bits, likeness, cosine] == [three(row[n]) for n in ("chain_bits", "prompt_bm25", "cosine")]
            said = [(sliced(text, a, b), sliced(part, c, d)) for a, b, c, d in shared]
            answer_text = span["text"], span["char_start"]
            assert said == [
                (answer_text[0][a - answer_text[1] : b - answer_text[1]], whole[c:d]) for a, b, c, d in row["shared"]
            ]
    assert not any(by_answer.values())
    for record in pandas.read_parquet(run.path / "answers.parquet").to_dict("records"):
        answer = shown[record["answer_id"]]
        assert (answer["words"], answer["flagged"]) == (record["tokens"], record["flagged"])
        assert (answer["expected"], answer["excess"]) == (three(record["expected"]), three(record["excess"]))


def test_tables_and_page_agree_on_awkward_texts(made):
    runs, page = made
    data = data_of(page)
    for run in runs:
        if run.verb == "shift":
            check_tokens(run, data)
        elif run.verb == "trace":
            check_spans(run, data)


def test_tables_and_page_agree_on_many_answers(tmp_path):
    runs = many(tmp_path, answers=40, tokens=50, models=["LoRA", "full"])
    data = data_of(page_of(runs, tmp_path / "page"))
    for run in runs:
        (check_tokens if run.verb == "shift" else check_spans)(run, data)


def test_columns_join_the_runs_of_the_same_answers(made):
    data = data_of(made[1])
    assert [(c["name"], bool(c["shift"]), bool(c["trace"]), c["base"]) for c in data["columns"]] == [
        ("base", False, False, None),
        ("LoRA", True, True, "base"),
        ("full", True, False, "base"),
    ]
    assert [prompt["id"] for prompt in data["prompts"]] == list(PROMPTS)
    assert data["columns"][1]["tokens"] == {"unshifted": 19, "marginal": 3, "shifted": 12}
    assert data["columns"][1]["spans"] == {"verbatim": 2, "near": 1, "similar": 1}
    assert data["columns"][1]["flagged"]["expected"] == data["columns"][1]["flagged"]["flagged"] / 2
    assert data["prompts"][3]["answers"][1] | {"id": ""} == {
        "id": "",
        "text": "",
        "cut": False,
        "lengths": [],
        "classes": "",
        "ranks": [],
        "probs": [],
        "kls": [],
        "base_tops": [],
        "tops": [],
        "mean_kl": None,
        "n": 0,
        "reason": "an answer of no token",
        "spans": [],
        "words": 0,
        "flagged": 0,
        "expected": 0,
        "excess": 0,
    }


def test_the_list_cuts_a_long_prompt_at_a_word_s_end(tmp_path):
    """90 characters: the 91st is inside "thirteenth", and a line break is a space."""
    words = (
        "Please list the following of the months of the year in their order:\n\nfirst, second, and thirteenth, fourth"
    )
    asked = {"short": "Why?", "long": words, "emoji": "🐈" * 120}
    answers = [answer_of(name, prompt, "Because.", "LoRA") for name, prompt in asked.items()]
    data = data_of(page_of([trace_run(tmp_path / "trace", answers, [], [])], tmp_path / "page"))
    assert [prompt["line"] for prompt in data["prompts"]] == [
        "Why?",
        "Please list the following of the months of the year in their order: first, second, and…",
        "🐈" * 89 + "…",
    ]
    assert [prompt["prompt"] for prompt in data["prompts"]] == list(asked.values())


def test_two_traces_of_the_same_answers_stand_in_two_columns(tmp_path):
    answer = answer_of("p", "Why?", "Because it is so.", "LoRA")
    traces = [trace_run(tmp_path / name, [answer], [], []) for name in ("trace-a", "trace-b")]
    data = data_of(page_of(traces, tmp_path / "page"))
    assert [column["name"] for column in data["columns"]] == ["LoRA (trace-a)", "LoRA (trace-b)"]


def test_a_trace_of_one_text_is_a_section_of_its_own(tmp_path):
    run = trace_run(tmp_path / "trace-text", [], [], [])
    (run.path / "answers.jsonl").unlink()
    text = page_of([run], tmp_path / "page").read_text("utf-8")
    assert '<section id="other-1"' in text
    assert "xray" not in re.sub("<style>.*?</style>", "", text, flags=re.DOTALL)


def test_models_are_called_by_how_they_were_tuned(workplace):
    def tuned(run):
        return Outcome({}, View(()))

    for method in ("lora", "full"):
        execute("tune", 1, Tuning(method=method, out=f"runs/tune-{method}"), {}, tuned)
    answers = [answer_of("p", "Why?", "Yes.", "runs/tune-lora/model"), answer_of("p", "Why?", "No.", "runs/tune-full")]
    runs = [shift_run(workplace / f"s{n}", [a], token_rows(a, [a.text], [{}])) for n, a in enumerate(answers)]
    data = data_of(page_of(runs, workplace / "page"))
    assert [column["name"] for column in data["columns"]] == ["LoRA", "full tuning"]


def test_models_of_one_method_are_called_by_what_differs(workplace):
    def tuned(run):
        return Outcome({}, View(()))

    def names(*settings):
        folders = [f"runs/{number}" for number in range(len(settings))]
        runs = [
            execute("tune", 1, Tuning(method="lora", out=folder, **each), {}, tuned)
            for folder, each in zip(folders, settings, strict=True)
        ]
        labels = ModelNames(runs)
        made = [labels.of_model(f"{folder}/model") for folder in folders]
        for run in runs:
            shutil.rmtree(run.path)
        return made

    assert names({}) == ["LoRA"]
    assert names({"lr": 1e-4}, {"lr": 5e-4}) == ["LoRA (lr 0.0001)", "LoRA (lr 0.0005)"]
    assert names({"rows": ("a/x.json",)}, {"rows": ("a/y.json",), "seed": 1}) == [
        "LoRA (rows x.json, seed 0)",
        "LoRA (rows y.json, seed 1)",
    ]
    assert names({"rows": ("a/x.json",)}, {"rows": ("b/x.json",)}) == ["LoRA (0)", "LoRA (1)"]


@dataclass(frozen=True, kw_only=True)
class Dosed:
    dose: float
    seed: int
    out: str


def test_models_are_called_by_what_varies_in_the_rows_that_they_were_tuned_on(workplace):
    def nothing(run):
        return Outcome({}, View(()))

    runs = []
    for dose in (0.5, 1.0):
        for seed in (0, 1):
            rows = f"runs/dose-{dose}-{seed}"
            execute("falsify dose", 1, Dosed(dose=dose, seed=seed, out=rows), {}, nothing)
            settings = Tuning(method="full", rows=(f"{rows}/rows.jsonl",), seed=seed, out=f"runs/tune-{dose}-{seed}")
            runs.append(execute("tune", 1, settings, {}, nothing))
    labels = ModelNames(runs)
    assert [labels.of_run(run) for run in runs] == [
        f"full tuning (seed {seed}, rows dose {dose:g})" for dose in (0.5, 1.0) for seed in (0, 1)
    ]


@pytest.mark.parametrize("name", ["xray-data", "rows", "tuning", 'a "b" c'])
def test_a_run_folder_may_be_called_anything(tmp_path, name):
    answer = answer_of(name, "Why?", "Yes.", "LoRA")
    folders = [tmp_path / "1" / name, tmp_path / "2" / name]
    runs = [trace_run(folder, [answer], [], []) for folder in folders]
    text = page_of(runs, tmp_path / "page").read_text("utf-8")
    ids = re.findall(r'\bid="(.*?)"', text)
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z0-9-]+", each) for each in ids)
    labels = re.findall(r'aria-labelledby="(.*?)"', text)
    assert len(labels) == 3
    assert set(labels) <= set(ids)


def test_a_name_that_turns_the_direction_round_is_shown_as_it_is(tmp_path):
    answer = answer_of("p", "Why?", "Yes.", "evil\u202e model")
    text = page_of([trace_run(tmp_path / "t", [answer], [], [])], tmp_path / "page").read_text("utf-8")
    assert "\u202e" not in text
    assert 'evil<span class="badge">U+202E</span> model' in text


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """As much of tune's settings as others read."""

    method: str
    lr: float = 1e-4
    model: str = "base"
    rows: tuple[str, ...] = ()
    seed: int = 0
    out: str | None = out_field()


def test_an_answer_that_one_model_lacks_is_none(tmp_path):
    both, one = answer_of("p", "Why?", "Yes.", "LoRA"), answer_of("q", "How?", "So.", "LoRA")
    other = answer_of("p", "Why?", "No.", "full")
    runs = [
        shift_run(tmp_path / "a", [both, one], token_rows(both, ["Yes."], [{}]) + token_rows(one, ["So."], [{}])),
        shift_run(tmp_path / "b", [other], token_rows(other, ["No."], [{}])),
    ]
    data = data_of(page_of(runs, tmp_path / "page"))
    assert [[answer and answer["text"] for answer in prompt["answers"]] for prompt in data["prompts"]] == [
        ["Yes.", "No."],
        ["So.", None],
    ]


def test_answers_without_x_ray_stand_among_the_others(tmp_path):
    known, plain = answer_of("p", "Why?", "Yes.", "LoRA"), answer_of("q", "How?", "So.", "LoRA")
    runs = [
        answer_run(tmp_path / "a", [known, plain]),
        shift_run(tmp_path / "s", [known], token_rows(known, ["Yes."], [{}])),
    ]
    page = page_of(runs, tmp_path / "page")
    shown = {prompt["id"]: prompt["answers"][0] for prompt in data_of(page)["prompts"]}
    assert {name: "lengths" in answer for name, answer in shown.items()} == {"p": True, "q": False}


def test_only_an_answer_that_was_cut_off_is_said_to_be(tmp_path):
    """Not one whose ending nobody says, nor one that ended by another server's word for it."""
    words = {"length": True, "MAX_TOKENS": True, "stop": False, "eos_token": False, None: False}
    answers = [replace(answer_of(f"q{n}", "How?", "So.", "m"), finish_reason=word) for n, word in enumerate(words)]
    data = data_of(page_of([answer_run(tmp_path / "a", answers)], tmp_path / "page"))
    assert [answer["cut"] for prompt in data["prompts"] for answer in prompt["answers"]] == [*words.values()]


def test_opening_has_a_sentence_of_each_run(made):
    opening = re.search(r'<ol class="opening">(.*?)</ol>', made[1].read_text("utf-8"), re.DOTALL)[1]
    lines = re.findall("<li>(.*?)</li>", re.sub("</?span[^>]*>", "", opening))
    assert [unescape(line) for line in lines] == [
        "Where tuning changed LoRA: 55.9 % of its 34 tokens are base's first choice too, and 35.3 % aren't among its "
        "first three. The mean KL is 1 nats, over 12 answers.",
        "Where tuning changed full: 100.0 % of its 5 tokens are base's first choice too, and 0.0 % aren't among its "
        "first three. The mean KL is 1 nats, over 12 answers.",
        "Where LoRA's words come from: 4 borrowed spans, 2 expected by chance.",
    ]


def test_opening_gives_the_figures_of_a_shift_run_with_their_intervals(tmp_path):
    def work(run):
        run.records("answers", [answer_of("p", "Why?", "Yes.", "x/LoRA").as_json()])
        run.table("tokens", schema(ShiftTokens).empty_table())
        run.table("answers", schema(ShiftAnswer).empty_table())
        result = shift_result(
            base="hub/base",
            tuned="x/LoRA",
            tokens=1495,
            unshifted=estimate(0.8364, 0.7996, 0.8704),
            shifted=estimate(0.0384),
            kl=estimate(0.15837, 0.1234, 0.18985),
        )
        return Outcome(result.as_json(), View(("Something.",)))

    run = execute("shift", 1, HandSettings(base="hub/base", tuned="x/LoRA", out=str(tmp_path / "s")), {}, work)
    made = report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))
    assert made.result["opening"] == [
        "Where tuning changed LoRA: 83.6 % of its 1,495 tokens are base's first choice too [80.0, 87.0], and 3.8 % "
        "aren't among its first three. The mean KL is 0.1584 nats [0.123, 0.190] (95 % intervals), over 12 "
        "answers."
    ]


class Tags(HTMLParser):
    """Collects elements, attributes that would load, run or style something, and text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.active, self.said, self.inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.active += [name for name, _ in attrs if name in ("src", "srcset", "style", "action") or name[:2] == "on"]

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, text):
        if self.inside not in ("script", "style"):
            self.said.append(text)


def test_texts_can_open_no_element(made):
    page = Tags(made[1].read_text("utf-8"))
    assert page.tags.count("script") == 4  # the data, the page's own, jsdiff and the X-ray's
    assert page.tags.count("img") == 0
    assert page.active == []
    assert HOSTILE in page.said  # in what is shown without JavaScript
    policy = re.search('Content-Security-Policy" content="(.*?)"', made[1].read_text("utf-8"))[1]
    assert re.sub("sha256-[^']*", "HASH", policy) == (
        "default-src 'none'; style-src 'HASH'; script-src 'HASH' 'HASH' 'HASH'; require-trusted-types-for 'script'; "
        "trusted-types 'none'; base-uri 'none'; form-action 'none'"
    )


def test_a_lone_surrogate_is_replaced_and_offsets_hold(tmp_path):
    answer = answer_of("p", "Why?", "b 😀 c", "LoRA")
    row = {"row_id": "r", "origin": "r", "file": "f", "line": 1, "fields": {"output": "a\ud800b 😀 c"}, "lineage": []}
    span = span_of(answer, 0, 5, "verbatim", [span_row("r", "output", 2, 7, [[0, 5, 2, 7]])])
    data = data_of(page_of([trace_run(tmp_path / "t", [answer], [row], [span])], tmp_path / "page"))
    assert data["rows"][0]["fields"] == [["output", "a\ufffdb 😀 c", 0, 0]]
    assert data["prompts"][0]["answers"][0]["spans"][0]["rows"][0][-1] == [[0, 6, 2, 8]]


def test_white_space_that_the_template_strips_leads(tmp_path):
    answer = answer_of("p", "Why?", "  Yes. ", "LoRA")
    row = {"char_start": 2, "char_end": 6}
    run = shift_run(tmp_path / "s", [answer], token_rows(answer, ["Yes."], [row]))
    ((shown,),) = [prompt["answers"] for prompt in data_of(page_of([run], tmp_path / "page"))["prompts"]]
    assert (shown["lead"], shown["lengths"], shown["text"]) == (2, [4], "  Yes. ")


@pytest.mark.slow
@pytest.mark.parametrize("answers", [100, pytest.param(1000, marks=pytest.mark.drill)])
def test_a_thousand_answers_of_two_models_fit_15_mb(tmp_path, answers):
    """2 models, 200 tokens and 3 borrowed spans with 5 rows an answer; the page grows with the answers."""
    page = page_of(many(tmp_path, answers, tokens=200, models=["LoRA", "full"]), tmp_path / "page")
    assert page.stat().st_size < 14_400 * answers + 150_000


def yes(folder):
    return answer_of("p", "Why?", "Yes, so.", "LoRA")


BAD = {
    "gap": ([{"char_end": 3}, {"char_start": 4, "char_end": 8}], r"answer \w+: found tokens with gaps"),
    "beyond": ([{"char_end": 3}, {"char_start": 3, "char_end": 9}], r"answer \w+: found tokens with gaps or beyond"),
}


@pytest.mark.parametrize("name", BAD)
def test_tokens_that_do_not_fit_are_refused(tmp_path, name):
    numbers, complaint = BAD[name]
    answer = yes(tmp_path)
    run = shift_run(tmp_path / "s", [answer], token_rows(answer, ["Yes", ", so."], numbers))
    with pytest.raises(RunError, match=complaint):
        report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))


def test_a_table_of_something_else_is_refused(tmp_path):
    answer = yes(tmp_path)
    run = shift_run(tmp_path / "s", [answer], token_rows(answer, ["Yes, so."], [{}]))
    pandas.read_parquet(run.path / "tokens.parquet").drop(columns=["kl", "class"]).to_parquet(
        run.path / "tokens.parquet"
    )
    with pytest.raises(RunError, match=r"tokens.parquet: found no kl, class; expected a run of this version"):
        report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))


@pytest.mark.parametrize(
    ("spans", "complaint"),
    [
        ([(3, 9)], r"found a span at 3 to 9; expected spans in order inside the text"),
        ([(0, 4), (3, 5)], r"found a span at 3 to 5; expected spans in order inside the text"),
    ],
)
def test_spans_that_do_not_fit_are_refused(tmp_path, spans, complaint):
    answer = yes(tmp_path)
    found = [span_of(answer, *ends, "verbatim", []) for ends in spans]
    run = trace_run(tmp_path / "t", [answer], [], found)
    with pytest.raises(RunError, match=complaint):
        report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))


def test_a_row_that_is_not_there_is_refused(tmp_path):
    answer = yes(tmp_path)
    found = [span_of(answer, 0, 3, "verbatim", [span_row("nobody", "output", 0, 3, [[0, 3, 0, 3]])])]
    run = trace_run(tmp_path / "t", [answer], [], found, [flagged_of(answer, found)])
    with pytest.raises(RunError, match=r"found a span of row nobody, output; expected it in rows.jsonl"):
        report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))


def test_one_answer_id_with_two_texts_is_refused(tmp_path):
    one = answer_of("p", "Why?", "Yes.", "LoRA")
    other = type(one)(one.answer_id, one.prompt_id, one.prompt, one.messages, "No.", model="LoRA")
    runs = [answer_run(tmp_path / "a", [one]), trace_run(tmp_path / "t", [other], [], [])]
    with pytest.raises(RunError, match="has another text than in"):
        report(ReportSettings(runs=tuple(str(run.path) for run in runs), out=str(tmp_path / "page")))


def taught(row_id, **given):
    """Make what is said of a row that taught an answer."""
    texts = [["user", f"Why {row_id}?"], ["assistant", HOSTILE]]
    return {"row_id": row_id, "index": 3, "copied": False, "how": "words meaning", "texts": texts, **given}


def test_a_folder_that_all_row_files_lie_in_is_left_out_of_their_places(tmp_path):
    answer = answer_of("q", "Why?", "Because it is so.", "LoRA")
    fields = {"instruction": "Why?", "output": "Because it is so."}
    rows = [
        {"row_id": name, "origin": name, "file": file, "line": line, "fields": fields, "lineage": []}
        for name, file, line in (("r1", "/home/ada/sets/a/rows.jsonl", 7), ("r2", "/home/ada/sets/b.jsonl", 9))
    ]
    named = [
        span_row(row["row_id"], "output", 0, 7, [[0, 7, 0, 7]], file=row["file"], line=row["line"]) for row in rows
    ]
    run = trace_run(tmp_path / "trace", [answer], rows, [span_of(answer, 0, 7, "verbatim", named)])
    data = data_of(page_of([run], tmp_path / "page"))
    assert [row["place"] for row in data["rows"]] == ["a/rows.jsonl:7", "b.jsonl:9"]


def test_rows_that_taught_an_answer_are_on_the_page(tmp_path):
    first, second = yes(tmp_path), answer_of("q", "How?", "So.", "LoRA")
    rows = {
        first.answer_id: [taught("r1", words=12.3456, copied=True, matters=1), taught("r2", meaning=0.5, matters=0)]
    }
    run = attribute_run(tmp_path / "at", [first, second], rows, matters=1)
    data = data_of(page_of([answer_run(tmp_path / "a", [first, second]), run], tmp_path / "page"))
    assert [column["attribute"] for column in data["columns"]] == [str(run.path)]
    with_rows, without = (prompt["answers"][0]["taught"] for prompt in data["prompts"])
    assert with_rows["matters"] == 1
    assert with_rows["rows"] == [
        {"row": 0, "how": "words meaning", "copied": True, "matters": 1, "words": 12.3},
        {"row": 1, "how": "words meaning", "copied": False, "matters": 0, "meaning": 0.5},
    ]
    assert [row["id"] for row in data["rows"]] == ["r1", "r2"]
    assert data["rows"][0]["fields"][0] == ["user", "Why r1?", 0, 0]
    assert data["rows"][0]["place"] == "rows.jsonl:7"
    assert without["rows"] == []


@pytest.mark.parametrize(
    ("matters", "said"),
    [
        (1, "1 of 9 rows matters for 2 answers, by words."),
        (None, "9 rows are ordered for 2 answers; how many of them matter isn't known, by words."),
    ],
)
def test_opening_says_how_many_rows_matter(tmp_path, matters, said):
    answers = [answer_of("p", "Why?", "Yes.", "LoRA"), answer_of("q", "How?", "So.", "LoRA")]
    rows = {answers[0].answer_id: [taught("r1", matters=matters), taught("r2", matters=matters and 0)]}
    run = attribute_run(tmp_path / "at", answers, rows, matters=matters)
    page = report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))
    assert page.result["opening"] == [f"Which rows taught LoRA: {said}"]


def test_a_row_that_taught_and_has_no_text_is_refused(tmp_path):
    answer = yes(tmp_path)
    run = attribute_run(tmp_path / "at", [answer], {answer.answer_id: [taught("r1")]})
    (run.path / "named.jsonl").write_text("")
    with pytest.raises(RunError, match=r"found row r1 for answer .*; expected it in named.jsonl"):
        report(ReportSettings(runs=(str(run.path),), out=str(tmp_path / "page")))
