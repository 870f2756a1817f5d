"""The X-ray in Chromium, from disk: what is shown, reached by keyboard, linked to, and that texts stay texts."""

from __future__ import annotations

import json
from itertools import pairwise
from urllib.parse import quote_plus

import pytest
from tests.verbs.report.browsing import AXE, WIDTHS, add_axe, idle, moving, needs_chromium, until
from tests.verbs.report.xray_runs import many
from tests.verbs.report.xray_scene import BAKER, HOSTILE, MIXED, PROMPTS, data_of, page_of, scene

pytestmark = needs_chromium()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    return page_of(scene(folder), folder / "page")


def visit(tab, file, place=""):
    tab.goto("about:blank")
    tab.goto(f"{file.as_uri()}{place}")
    tab.locator("#xray-detail h3").wait_for()


def answer(tab, name):
    return tab.locator("#xray-detail article").filter(has=tab.locator(f"h4:text-matches('^{name} ')"))


def token(tab, name, place):
    return answer(tab, name).locator(f'[role=option][data-token="{place}"]')


def tip(tab):
    """Return what the strip says of a token as name → value."""
    shown = tab.locator("#xray-strip")
    assert shown.is_visible()
    lines = shown.locator("div").all()
    return {line.locator("span").inner_text().strip(): line.locator("b").inner_text() for line in lines}


def listed(tab):
    return [each.inner_text() for each in tab.locator("#xray-list a b").all()]


def test_tokens_have_their_class_and_numbers(tab, file):
    visit(tab, file)
    assert [a.locator("h4").inner_text() for a in tab.locator("#xray-detail article").all()] == [
        "base link",
        "LoRA link",
        "full link",
    ]
    tokens = answer(tab, "LoRA").locator("[role=option]")
    letters = ["u", "s", "u", "u", "m", "m", "u", "u", "s", "u", "u", "u", "u", "u"]
    assert [each.locator(".c").last.get_attribute("class") for each in tokens.all()] == [
        f"c {each}" for each in letters
    ]
    assert token(tab, "LoRA", 1).get_attribute("aria-label") == " works, shifted"
    token(tab, "LoRA", 1).hover()
    assert tip(tab) == {
        "token": "“ works”",
        "class": "shifted",
        "base rank": "12",
        "base probability": "0.000123",
        "KL": "2.35 nats",
        "base model’s top choice": "“ bakes”",
        "tuned model’s top choice": "“ cooks”",
        "borrowed, verbatim, 4 words": "Enter or a click opens its rows",
    }
    token(tab, "LoRA", 0).hover()
    assert tip(tab)["base model’s top choice"] == "“Bor”"
    assert "tuned model’s top choice" not in tip(tab)
    tab.mouse.move(5, 5)
    assert tip(tab)["token"] == "“Bor”"  # it stays, so that a person can read it
    box, text = tab.locator("#xray-strip").bounding_box(), answer(tab, "LoRA").locator(".text").bounding_box()
    assert box["y"] >= text["y"] + text["height"]  # and covers nothing
    assert answer(tab, "LoRA").locator(".note").all_inner_texts() == [
        "14 tokens: 10 unshifted, 2 marginal, 2 shifted; mean KL 0.258 (n = 14)",
        "9 of 11 words flagged; by chance 4.5, excess 4.5",
    ]


def test_legend_counts_and_marks(tab, file):
    visit(tab, file)
    cells = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in tab.locator(".legend tr").all()]
    assert [row[0] for row in cells] == [
        "mark",
        "unshifted",
        "marginal",
        "shifted",
        "verbatim",
        "near",
        "similar",
        "flagged words",
    ]
    assert cells[3][2:] == ["–", "12 (35.3 %)", "0 (0.0 %)"]
    assert cells[4][2:] == ["–", "2", "–"]
    assert cells[7][2:] == ["–", "16 of 27; by chance 8, excess 8 (n = 5)", "–"]
    looks = tab.evaluate(
        "[...document.querySelectorAll('.legend .c, .legend .b')].map((e) => {const s = getComputedStyle(e);"
        "return [s.borderTopStyle, s.backgroundColor, s.textDecorationStyle, s.borderTopColor].join(' ')})"
    )
    assert len(set(looks)) == 6
    shapes = {look.split()[0] for look in looks[1:3]} | {look.split(")")[1].split()[0] for look in looks[3:]}
    assert shapes == {"dotted", "solid", "double", "dashed"}  # lines differ without colour


def test_spans_are_underlined_and_split_tokens(tab, file):
    visit(tab, file)
    spans = answer(tab, "LoRA").locator("[data-span]")
    assert spans.all_inner_texts() == ["works as a baker", "very day a baker g"]
    assert [each.get_attribute("class") for each in spans.all()] == ["b verbatim", "b near"]
    assert spans.nth(1).get_attribute("aria-label") == "borrowed, near, 5 words"
    pieces = answer(tab, "LoRA").locator('[data-token="8"]').all()
    assert [each.inner_text() for each in pieces] == [" e", "very"]
    assert [each.get_attribute("role") for each in pieces] == ["option", None]
    text = answer(tab, "LoRA").locator(".text").evaluate("(node) => node.textContent")
    assert text == "".join(BAKER)


def test_keyboard_walks_opens_and_closes(tab, file):
    visit(tab, file)
    answer(tab, "LoRA").locator("h4 a").focus()
    tab.keyboard.press("Tab")
    here = "document.activeElement.dataset.token"
    assert tab.evaluate(here) == "0"
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowRight"):
        tab.keyboard.press(key)
        seen.append(tab.evaluate(here))
    assert seen == ["1", "2", "1", "13", "0", "1"]
    assert tab.evaluate("document.activeElement.tabIndex") == 0
    assert tab.evaluate("document.activeElement.getAttribute('aria-describedby')") == "xray-strip"
    assert tip(tab)["base rank"] == "12"
    assert tab.evaluate("getComputedStyle(document.activeElement.querySelector('.c')).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.textContent") == "Borrowed: verbatim"
    assert tab.locator("#xray-rows").is_visible()
    tab.keyboard.press("Escape")
    assert not tab.locator("#xray-rows").is_visible()
    assert tab.evaluate(here) == "1"
    token(tab, "LoRA", 3).focus()
    tab.keyboard.press(" ")
    tab.keyboard.press("Escape")
    assert tab.evaluate(here) == "3"  # back to where one was, not to the span's beginning
    tab.keyboard.press("End")
    tab.keyboard.press("Enter")
    assert not tab.locator("#xray-rows").is_visible()  # the last token isn't borrowed


def test_up_and_down_go_by_lines(tab, file):
    tab.set_viewport_size({"width": 380, "height": 900})
    visit(tab, file)
    token(tab, "LoRA", 0).focus()
    top = "document.activeElement.querySelector('.c').getBoundingClientRect().top"
    tops = [tab.evaluate(top)]
    for key in ("ArrowDown", "ArrowUp", "ArrowUp"):
        tab.keyboard.press(key)
        tops.append(tab.evaluate(top))
    assert tops[1] > tops[0] == tops[2] == tops[3]


def test_a_click_opens_the_right_row_with_the_right_words(tab, file):
    visit(tab, file)
    token(tab, "LoRA", 10).click()
    panel = tab.locator("#xray-rows")
    assert panel.locator("h3").first.inner_text() == "Borrowed: near"
    assert "text in common. It doesn’t prove" in panel.inner_text()
    assert "9 of 11 words flagged, by chance 4.5" in panel.inner_text()
    facts = dict(
        zip(panel.locator("> dl dt").all_inner_texts(), panel.locator("> dl dd").all_inner_texts(), strict=True)
    )
    assert facts["p under the null"] == "0.0125"
    assert facts["null"] == "the answers of base"
    (row,) = panel.locator(".rows > li").all()
    assert row.locator("h4").inner_text() == "rows.jsonl:7 aaaa000011112222"
    found = dict(zip(row.locator("dt").all_inner_texts(), row.locator("dd").all_inner_texts(), strict=True))
    assert found == {
        "field": "output",
        "words changed": "1",
        "bits": "31.2",
        "prompt similarity (BM25)": "2.5",
        "cosine": "0.877",
        "rows with this text": "1",
    }
    assert row.locator('[data-field="output"] mark').all_inner_texts() == ["very", "day a baker g"]
    assert (
        row.locator('[data-field="output"]').inner_text()
        == "Ada works as a baker and sings. On every single day a baker goes home."
    )
    assert row.locator('[data-field="instruction"] mark').count() == 0
    assert row.locator(".quote").last.locator("mark").all_inner_texts() == ["very", "day a baker g"]
    assert row.locator("h4 + h5").inner_text() == "instruction"  # the row's text comes first
    assert row.locator(".lineage li").all_inner_texts() == [
        '{"operation": "select", "version": 1}',
        '{"operation": "repair"}',
    ]
    assert row.locator("pre").inner_text() == "tunescope why aaaa000011112222"
    panel.locator("button").click()
    assert not panel.is_visible()


def test_rows_come_likeliest_first_with_their_overlay(tab, file):
    visit(tab, file)
    token(tab, "LoRA", 2).click()
    panel = tab.locator("#xray-rows")
    assert panel.locator("h4").all_inner_texts() == ["rows.jsonl:7 aaaa000011112222", "rows.jsonl:9 bbbb000011112222"]
    assert "5: 1 shifted, 2 marginal; mean log ratio 1.23" in panel.inner_text()
    assert "4.57" in panel.locator("> dl").inner_text()


def test_a_link_opens_one_answer_and_back_works(tab, file):
    data = data_of(file)
    ident = data["prompts"][2]["answers"][1]["id"]
    visit(tab, file, f"#answer={ident}")
    chosen = tab.locator("#xray-detail article.chosen")
    assert chosen.get_attribute("data-answer") == ident
    assert tab.evaluate("document.activeElement.textContent") == "LoRA link"
    assert tab.locator("#xray-list [aria-current]").inner_text().startswith("p3")
    assert tab.locator("#xray-list a span").all_text_contents() == [prompt["line"] for prompt in data["prompts"]]
    moving(tab, tab.locator("#xray-list a").nth(1).click)
    assert tab.evaluate("location.hash") == f"#prompt={quote_plus('p 2&x=<b>')}"
    assert tab.evaluate("document.activeElement.textContent") == "Prompt p 2&x=<b>"
    moving(tab, tab.go_back)
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt p3"
    assert chosen.get_attribute("data-answer") == ident
    moving(tab, tab.locator("#xray-detail .steps a").last.click)
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt p4"
    moving(tab, answer(tab, "base").locator("h4 a").click)
    assert tab.evaluate("location.hash") == f"#answer={data['prompts'][3]['answers'][0]['id']}"


def test_a_link_to_nothing_says_so(tab, file):
    visit(tab, file, "#answer=nobody")
    assert tab.locator("#xray-count").inner_text() == "No answer or prompt is called nobody."
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt p1"


def test_a_link_to_a_section_leaves_the_prompt(tab, file):
    visit(tab, file, "#prompt=p3")
    moving(tab, tab.locator("nav.questions a").last.click)
    assert tab.evaluate("location.hash") == "#provenance-all"
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt p3"


def test_filters(tab, file):
    visit(tab, file)
    every = list(PROMPTS)
    assert listed(tab) == every

    def after(act):
        act()
        idle(tab)
        return listed(tab), tab.locator("#xray-count").inner_text()

    query, model = tab.get_by_label("Search prompts and answers"), tab.locator("#xray-model")
    borrowed, shifted = tab.get_by_label("only answers with borrowed spans"), tab.get_by_label("only shifted tokens")
    kl, sort = tab.get_by_label("Minimum KL"), tab.get_by_label("Sort by")
    assert after(lambda: query.fill("BAKER, AND")) == (["p1"], "1 of 5 prompts")
    assert after(lambda: query.fill("nowhere")) == ([], "0 of 5 prompts")
    assert tab.locator("#xray-detail").inner_text() == ""
    assert after(lambda: query.fill(""))[0] == every
    assert after(lambda: borrowed.check())[0] == ["p1", "p 2&x=<b>", "p3"]
    assert after(lambda: model.select_option("full"))[0] == []
    assert after(lambda: borrowed.uncheck())[0] == every
    assert tab.locator("#xray-detail h4").all_inner_texts() == ["full link"]
    assert after(lambda: shifted.check())[0] == []
    assert after(lambda: model.select_option("all"))[0] == ["p1", "p 2&x=<b>", "p5"]
    left = answer(tab, "LoRA").locator("[role=option]:has(.s)").all()
    assert [each.get_attribute("data-token") for each in left] == ["1", "8"]
    assert answer(tab, "LoRA").locator("[role=option]:has(.m)").count() == 0
    token(tab, "LoRA", 1).focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.dataset.token") == "8"  # the keys walk through what is left
    assert after(lambda: kl.fill("1"))[0] == ["p1"]
    assert after(lambda: shifted.uncheck())[0] == ["p1"]
    assert after(lambda: kl.fill("0"))[0] == every
    assert after(lambda: sort.select_option("mean KL"))[0] == ["p 2&x=<b>", "p3", "p5", "p1", "p4"]
    assert after(lambda: sort.select_option("flagged words"))[0][0] == "p1"


def test_hostile_texts_stay_texts(tab, file):
    visit(tab, file, f"#prompt={quote_plus('p 2&x=<b>')}")
    assert tab.locator("#xray-detail > .prompt").inner_text() == HOSTILE
    assert answer(tab, "LoRA").locator(".text").evaluate("(node) => node.textContent") == HOSTILE
    token(tab, "LoRA", 0).hover()
    assert tip(tab)["tuned model’s top choice"] == f"“{HOSTILE}!”"
    token(tab, "LoRA", 0).click()
    panel = tab.locator("#xray-rows")
    assert panel.locator("h4").evaluate("(node) => node.textContent") == f"{HOSTILE}:8 {HOSTILE}"
    assert panel.locator("mark").last.evaluate("(node) => node.textContent") == HOSTILE
    lineage = panel.locator(".lineage li").evaluate("(node) => node.textContent")
    assert json.loads(lineage) == {"reason": HOSTILE}
    assert tab.locator("img, iframe, object, link, base").count() == 0
    assert tab.locator("script").count() == 4


@pytest.mark.parametrize(
    "act",
    [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'window.pwned = 3')",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.pwned = 3'}))",
        "setTimeout('window.pwned = 3', 0)",
    ],
)
def test_the_policy_refuses_markup_and_scripts(browser, file, act):
    tab = browser.new_page()
    tab.goto(file.as_uri())
    tab.evaluate(f"(() => {{ try {{ {act} }} catch (error) {{ window.said = error.name }} }})()")
    assert tab.evaluate("window.said") == "TypeError"
    idle(tab)
    assert tab.evaluate("typeof window.pwned") == "undefined"
    tab.close()


def test_every_script_and_every_character(tab, file):
    visit(tab, file, "#prompt=p3")
    box = answer(tab, "LoRA").locator(".text")
    assert box.evaluate("(node) => node.textContent") == MIXED
    assert box.evaluate("(node) => getComputedStyle(node).direction") == "rtl"
    assert answer(tab, "LoRA").locator("[data-span]").inner_text().strip() == "𝔘 and the end"
    empty = token(tab, "LoRA", 2)
    assert empty.locator(".empty").count() == 1
    assert empty.bounding_box()["width"] > 0  # an empty piece can be seen and pointed at
    token(tab, "LoRA", 3).focus()
    assert tip(tab)["token"] == "“👩‍👩‍👧”"
    tab.keyboard.press("ArrowLeft")  # forward, from right to left
    assert tab.evaluate("document.activeElement.dataset.token") == "4"
    token(tab, "LoRA", 9).focus()
    assert (tip(tab)["KL"], tip(tab)["base model’s top choice"]) == ("missing", "missing")
    assert "missing 1" in answer(tab, "LoRA").locator(".note").first.inner_text()
    token(tab, "LoRA", 8).click()
    row = tab.locator("#xray-rows .rows > li")
    assert row.locator('[data-field="messages[1] assistant"] mark').all_inner_texts() == ["𝔘 and the end"]
    assert row.locator("small").all_inner_texts() == [
        " (400 characters after)",
        "(401 characters before) ",
        " (400 characters after)",
    ]


def test_empty_answers_code_and_long_tokens(tab, file):
    visit(tab, file, "#prompt=p4")
    assert answer(tab, "LoRA").locator("em").inner_text() == "empty"
    assert "No token of this answer was read: an answer of no token." in answer(tab, "LoRA").inner_text()
    for width in WIDTHS.values():
        tab.set_viewport_size({"width": width, "height": 900})
        visit(tab, file, "#prompt=p5")
        assert answer(tab, "LoRA").locator(".newline").count() == 2
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_texts_are_there(browser, file):
    tab = browser.new_page()
    tab.context.new_cdp_session(tab).send("Emulation.setScriptExecutionDisabled", {"value": True})
    tab.goto(file.as_uri())
    shown = tab.locator("noscript").inner_text()
    assert "".join(BAKER) in shown
    assert HOSTILE.replace("\u2028", "") in shown.replace("\u2028", "")
    assert not tab.locator("#xray-app").is_visible()
    tab.close()


def test_spans_of_answers_without_tokens_are_buttons(tab, tmp_path):
    from tests.verbs.report.xray_runs import answer_of, span_of, span_row, trace_run

    said = answer_of("p", "Why?", "Because it is so.", "base")
    row = {"row_id": "r1", "origin": "r1", "file": "f.json", "line": 3, "fields": {"output": "it is so"}, "lineage": []}
    span = span_of(said, 8, 16, "verbatim", [span_row("r1", "output", 0, 8, [[8, 16, 0, 8]])])
    visit(tab, page_of([trace_run(tmp_path / "t", [said], [row], [span])], tmp_path / "page"))
    button = tab.get_by_role("button", name="it is so, borrowed, verbatim, 3 words")
    button.focus()
    tab.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    assert (
        tab.locator("#xray-rows h4").inner_text() == "rows.jsonl:7 r1"
        or "f.json:3" in tab.locator("#xray-rows h4").inner_text()
    )
    tab.keyboard.press("Escape")
    assert button.get_attribute("aria-expanded") == "false"
    assert tab.evaluate("document.activeElement.getAttribute('role')") == "button"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_rows_that_taught_an_answer_open_and_close(tab, tmp_path, scheme):
    from tests.verbs.report.test_xray import taught
    from tests.verbs.report.xray_runs import answer_of, attribute_run

    tab.emulate_media(color_scheme=scheme)
    said = answer_of("p", "Why?", "Because it is so.", "LoRA")
    rows = {said.answer_id: [taught("r1", words=12.5, copied=True, matters=1), taught("r2", states=0.25, matters=0)]}
    visit(tab, page_of([attribute_run(tmp_path / "at", [said], rows, matters=1)], tmp_path / "page"))
    button = tab.get_by_role("button", name="Rows that taught it: the first 2, 1 of all matter")
    button.focus()
    tab.keyboard.press("Enter")
    panel = tab.locator("#xray-rows")
    assert button.get_attribute("aria-expanded") == "true"
    assert [each.inner_text() for each in panel.locator("h4").all()] == ["rows.jsonl:7 r1", "rows.jsonl:7 r2"]
    first = dict(
        zip(panel.locator("li dt").all_inner_texts()[:3], panel.locator("li dd").all_inner_texts(), strict=False)
    )
    assert first == {"found by": "a copy, word for word, words, meaning", "words (BM25)": "12.5", "matters": "yes"}
    assert HOSTILE.replace("\u2028", "") in panel.inner_text().replace("\u2028", "")
    assert "1 row matters" in panel.inner_text()
    assert tab.evaluate(NAMES) == []
    assert [(name, round(ratio, 2)) for ratio, name, least in tab.evaluate(CONTRASTS) if ratio < least] == []
    add_axe(tab)
    assert tab.evaluate(AXE) == []
    tab.keyboard.press("Escape")
    assert not panel.is_visible()
    assert button.get_attribute("aria-expanded") == "false"
    assert tab.evaluate("document.activeElement.className") == "taught"


def test_one_and_five_models(tab, tmp_path):
    for count in (1, 5):
        folder = tmp_path / str(count)
        runs = many(folder, answers=3, tokens=30, models=[f"m{n}" for n in range(count)])
        visit(tab, page_of(runs, folder / "page"))
        assert tab.locator("#xray-detail article").count() == count
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1280


def test_the_address_keeps_the_filters(tab, file):
    visit(tab, file)
    tab.get_by_label("Search prompts and answers").fill("baker")
    tab.locator("#xray-model").select_option("LoRA")
    idle(tab)
    assert tab.evaluate("location.hash") == "#prompt=p1&query=baker&model=1"
    again = tab.evaluate("location.hash")
    visit(tab, file, again)
    assert tab.get_by_label("Search prompts and answers").input_value() == "baker"
    assert listed(tab) == ["p1"]
    assert tab.locator("#xray-detail h4").all_inner_texts() == ["LoRA link"]


def test_differences_from_a_model(tab, file):
    visit(tab, file)
    tab.get_by_label("Differences from").select_option("base")
    idle(tab)
    assert answer(tab, "base").locator("ins, del").count() == 0
    box = answer(tab, "LoRA").locator(".diff")
    before = box.evaluate(
        "(node) => [...node.childNodes].filter((e) => e.tagName !== 'INS').map((e) => e.textContent).join('')"
    )
    after = box.evaluate(
        "(node) => [...node.childNodes].filter((e) => e.tagName !== 'DEL').map((e) => e.textContent).join('')"
    )
    assert (before, after) == ("Bor bakes bread.", "".join(BAKER))


def test_a_row_leads_to_the_other_answers_that_it_fed(tab, tmp_path):
    from tests.verbs.report.test_xray import taught
    from tests.verbs.report.xray_runs import answer_of, attribute_run

    answers = [answer_of(name, f"{name}?", "Because it is so.", "LoRA") for name in ("p", "q", "r")]
    rows = {answer.answer_id: [taught("r1", matters=1)] for answer in answers[:2]}
    visit(tab, page_of([attribute_run(tmp_path / "at", answers, rows, matters=1)], tmp_path / "page"))
    fed = tab.locator("#xray-rows .fed")
    assert fed.locator("summary").inner_text() == "Named for 1 other answer"
    fed.locator("summary").click()
    moving(tab, fed.get_by_role("link", name="q, LoRA").click)
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt q"


def test_ten_thousand_plain_answers_are_listed_and_searched(tab, tmp_path):
    from tests.verbs.report.xray_runs import answer_of, answer_run

    n = 10_000
    answers = [answer_of(f"q{k}", f"What is {k}?", f"It is the number {k}. " * 5, "m") for k in range(n)]
    tab.set_default_timeout(60_000)  # a busy machine may take its time; benchmarks say how long it is
    visit(tab, page_of([answer_run(tmp_path / "a", answers)], tmp_path / "page"))
    assert tab.locator("#xray-list a").count() < 500
    tab.evaluate("document.getElementById('xray-list').scrollTo(0, 1e9)")
    tab.locator("#xray-list a").last.wait_for()
    until(tab, "document.querySelector('#xray-list ol:last-child b')?.textContent === 'q9900'")
    assert listed(tab)[-1] == "q9999"
    tab.get_by_label("Search prompts and answers").fill("number 9999.")
    idle(tab)
    assert listed(tab) == ["q9999"]
    assert tab.locator("#xray-detail h3").inner_text() == "Prompt q9999"


def test_paper_has_the_prompts_that_are_listed(tab, file):
    visit(tab, file)
    tab.get_by_label("Search prompts and answers").fill("baker, and")
    idle(tab)
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = tab.locator("#xray-printed")
    assert printed.is_visible()
    assert printed.locator("h3").all_inner_texts() == ["Prompt p1"]
    assert not tab.locator("#xray-list").is_visible()
    assert tab.locator("details:not([open])").count() == 0
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert printed.locator("*").count() == 0
    tab.emulate_media(media="screen")


CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const over = (color, below) => {
    canvas.fillStyle = `rgb(${below.join(',')})`; canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const ground = (node) => {
    const chain = [];
    for (let at = node; at; at = at.parentElement) chain.unshift(getComputedStyle(at).backgroundColor);
    return chain.reduce((below, color) => over(color, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || node.closest('script, style, noscript, [hidden]')) continue;
    const below = ground(node), style = getComputedStyle(node);
    found.push([ratio(over(style.color, below), below), node.className || node.tagName, 4.5]);
    const lined = node.closest('.c.m, .c.s, .b, mark');
    if (lined) {
      const line = getComputedStyle(lined), under = ground(lined.parentElement);
      const edge = lined.matches('mark') ? line.borderBottomColor : line.borderTopColor;
      const color = lined.matches('.b') ? line.textDecorationColor : edge;
      found.push([ratio(over(color, under), under), lined.className || lined.tagName, 3]);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(tab, file, scheme):
    """WCAG 2.2: 4.5 for text on what is behind it, 3 for lines that mean something."""
    tab.emulate_media(color_scheme=scheme)
    visit(tab, file)
    token(tab, "LoRA", 2).click()
    token(tab, "LoRA", 4).focus()
    found = tab.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [(name, round(ratio, 2)) for ratio, name, least in found if ratio < least] == []


NAMES = """() => {
  const wrong = [], ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  ids.forEach((id, n) => { if (ids.indexOf(id) !== n) wrong.push('id twice: ' + id); });
  for (const node of document.querySelectorAll('[aria-describedby], [aria-controls], [aria-labelledby]'))
    for (const name of ['aria-describedby', 'aria-controls', 'aria-labelledby'])
      for (const id of (node.getAttribute(name) || '').split(' ').filter(Boolean))
        if (!document.getElementById(id)) wrong.push(name + ' to nothing: ' + id);
  for (const node of document.querySelectorAll('input, select'))
    if (!node.labels.length) wrong.push('no label: ' + node.id);
  for (const node of document.querySelectorAll('a, button'))
    if (!node.textContent.trim()) wrong.push('no name: ' + node.outerHTML);
  for (const node of document.querySelectorAll('[role=option]')) {
    if (!node.closest('[role=listbox]')) wrong.push('option without listbox');
    if (!node.getAttribute('aria-label')) wrong.push('option without name');
  }
  for (const box of document.querySelectorAll('[role=listbox]')) {
    if (!box.getAttribute('aria-label')) wrong.push('listbox without name');
    const stops = box.querySelectorAll('[tabindex="0"]').length;
    if (stops !== 1) wrong.push(`listbox with ${stops} stops`);
  }
  return wrong;
}"""


def test_roles_names_and_headings(tab, file):
    visit(tab, file)
    token(tab, "LoRA", 2).click()
    assert tab.evaluate(NAMES) == []
    headings = tab.locator(", ".join(f"h{level}:visible" for level in range(1, 6))).all()
    levels = [int(each.evaluate("(node) => node.tagName[1]")) for each in headings]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tab.locator("main, header, footer, nav[aria-label]").count() >= 4
    assert tab.locator("html").get_attribute("lang") == "en"
    tree = answer(tab, "LoRA").get_by_role("listbox").aria_snapshot()
    assert 'group "borrowed, verbatim, 4 words"' in tree
    assert 'option "works, shifted"' in tree


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing(tab, file, scheme, width):
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    visit(tab, file)
    add_axe(tab)
    assert tab.evaluate(AXE) == []
    token(tab, "LoRA", 2).click()
    token(tab, "LoRA", 4).focus()
    assert tab.evaluate(AXE) == []


def test_colours_follow_the_forced_ones(tab, file):
    """In high contrast the classes keep their lines."""
    tab.emulate_media(forced_colors="active")
    visit(tab, file)
    styles = [token(tab, "LoRA", n).locator(".c").evaluate("(e) => getComputedStyle(e).borderTopStyle") for n in (1, 4)]
    assert styles == ["solid", "dotted"]
    tab.emulate_media(forced_colors="none")


@pytest.mark.parametrize(("width", "beside"), [(1280, True), (390, False)])
def test_rows_that_taught_it_stand_beside_the_answer_where_there_is_a_place(tab, tmp_path, width, beside):
    from tests.verbs.report.test_xray import taught
    from tests.verbs.report.xray_runs import answer_of, attribute_run

    tab.set_viewport_size({"width": width, "height": 900})
    answers = [answer_of(name, f"{name}?", "Because it is so.", "LoRA") for name in ("p", "q")]
    rows = {answer.answer_id: [taught(f"r{answer.prompt_id}", matters=1)] for answer in answers}
    visit(tab, page_of([attribute_run(tmp_path / "at", answers, rows, matters=1)], tmp_path / "page"))
    panel = tab.locator("#xray-rows")
    assert panel.is_visible() is beside
    assert tab.evaluate("document.activeElement.tagName") == "BODY"
    assert tab.evaluate("scrollY") == 0
    if not beside:
        return
    moving(tab, tab.get_by_role("link", name="next →").click)
    assert "rq" in panel.locator("h4").inner_text()
    panel.get_by_role("button", name="Close").click()
    moving(tab, tab.get_by_role("link", name="← previous").click)
    assert not panel.is_visible()


def test_scores_are_read_on_every_screen(tab, tmp_path):
    """Axe finds nothing, the page isn't wider than its screen, and every picture and number is in sight."""
    from tests.verbs.report.bench_runs import bench_run, spread_of

    items = [1.0] * 15 + [0.0] * 5
    subjects = {"high_school_government_and_politics": items}
    spread = {"copa": spread_of(items, {"plain 1": 0.5, "chat 1": 0.75})}
    tasks = {"bigbench_conceptual_combinations": items, "copa": items}
    models = ("base", "tuned on a thousand rows")
    runs = [bench_run(tmp_path / m, tasks, model=m, subjects=subjects, spread=spread) for m in models]
    page = page_of(runs, tmp_path / "page")
    for scheme, width in zip(("light", "dark"), WIDTHS.values(), strict=True):
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(page.as_uri())
        add_axe(tab)
        assert tab.evaluate(AXE) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        edges = tab.evaluate(
            "[...document.querySelectorAll('.picture svg')].map((e) => e.getBoundingClientRect().right)"
        )
        assert len(edges) == 5
        assert all(edge <= width for edge in edges)
        cells = tab.evaluate("[...document.querySelectorAll('td')].map((e) => e.getBoundingClientRect().right)")
        assert all(edge <= width for edge in cells)
