"""Take the pictures of the docs anew, from pages that `report` makes.

    python tools/screenshots.py rows xray demo faco-microworld=runs/report-…/report.html

A page that is named is made first (rows: seconds; repaired, taught: a minute; xray, faco-microworld: minutes;
demo: eight minutes on two cores), or it is the one that is given. Which part of it a picture shows stands in `SHOTS`.
Needs Chromium.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import tunescope
from tunescope.runs import Run

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECIPES = DOCS.parent / "recipes"


class Shot(NamedTuple):
    """A picture: its page, the address in it, the element (none: what is in sight), and how wide and high that is.

    Before it is taken, `click` is clicked and `hover` pointed at.
    """

    page: str
    address: str = ""
    element: str = ""
    width: int = 1280
    height: int = 900
    click: str = ""
    hover: str = ""


SHOTS = {
    "demo.png": Shot("demo", width=1280, height=893),
    "lie.png": Shot("demo", "#prompt=capital", "#xray-app .xray", height=640),
    "xray.png": Shot(
        "xray", "#prompt=q03", "#xray-app .xray", height=1000, click="#xray-detail .b", hover="#xray-detail .c.s"
    ),
    "faco-microworld.png": Shot("faco-microworld", "#dose-1", width=1280, height=1100),
    "case.png": Shot("demo", "#cases", ".case"),
    "check.png": Shot("rows", "#rows-1", width=1120, height=784),
    "measure.png": Shot("repaired", "", "#measured .pictures", width=1120),
    "repair.png": Shot("repaired", "#rows=repaired-1&row=be3dda8981f617b8", ".drawer[open]", width=1120, height=835),
    "compare.png": Shot("repaired", "#compared-1", width=1120, height=840),
    "judge.png": Shot("repaired", "#judged-1", width=1120, height=566),
    "trace.png": Shot("repaired", "#prompt=tide-clock", "#xray-app .xray", height=900, click="#xray-detail .b"),
    "shift.png": Shot(
        "taught", "#prompt=capital", "#xray-detail", click="#xray-rows button", hover="#xray-detail .c.s"
    ),
    "attribute.png": Shot("taught", "#prompt=capital", "#xray-app .xray", height=900),
    "rows.png": Shot("rows", "#rows=rows-1&row=cbcb072e6f08281e", ".drawer[open]", width=1120, height=870),
}


def rows_page() -> Run:
    """Check the bundled rows."""
    shutil.copy(RECIPES / "lora-and-full/rows.json", "rows.json")
    return tunescope.report(runs=[str(tunescope.check("rows.json").path)])


def repaired_page() -> Run:
    """Have a fake shorten the bundled rows, measure, compare and have a fake judge them, and trace an answer."""
    shutil.copy(RECIPES / "lora-and-full/rows.json", "rows.json")
    first_sentence = {
        "pattern": r"=== \w+ response ===\n(.{25,}?[.?!])\s.*<short_response>",
        "reply": "<short_response>\n\\1\n</short_response>",
        "expand": True,
    }
    _write_lines("shortens.jsonl", [first_sentence, {"pattern": "", "reply": "It is short enough."}])
    short = tunescope.repair_simplify("rows.json", oracle="fake:shortens.jsonl", out="shortened")
    before, after = (json.loads(Path(name).read_text("utf-8")) for name in ("rows.json", "shortened/rows.json"))
    measured = []
    for name, rows in (("as written", before), ("first sentences", after)):
        Path("measured.json").write_text(json.dumps(rows[:_MEASURED]), "utf-8")
        measured.append(tunescope.measure("measured.json", out=name))
    compared = tunescope.compare("rows.json", "shortened")
    runs = [short, *measured, compared, _judged(before, after), *_traced()]
    return tunescope.report(runs=[str(run.path) for run in runs])


_MEASURED = 30
"""Rows that are measured: the model reads one in some half a second."""
_POINTS = {600: 9, 420: 8, 300: 7, 200: 6, 100: 5, 0: 4}
"""What the fake judge gives an answer of at least so many characters."""


def _judged(before: list[dict[str, str]], after: list[dict[str, str]]) -> Run:
    """Have a judge that counts characters compare what might be said to sixty instructions with what their rows say."""
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if old["output"]][:60]
    texts = [old["output"] for old, _ in pairs]
    answers = {
        "first sentence": [new["output"] for _, new in pairs],
        "said twice": [f"{text}\n{text}" for text in texts],
        "of another row": texts[7:] + texts[:7],
        "as written": texts,
    }
    for name, said in answers.items():
        asked = [f"{old['instruction']}\n{old['input']}".strip() for old, _ in pairs]
        records = [{"instruction": q, "output": text, "generator": name} for q, text in zip(asked, said, strict=True)]
        Path(f"{name}.json").write_text(json.dumps(records), "utf-8")
    lines = [
        {
            "pattern": rf"answer 1 ===\n[^=]{{{one},}}\n=== \w+ answer 2 ===\n[^=]{{{two},}}\n=== .*(\w{{8}}): SCORE",
            "reply": rf"I count characters.\n\1: {_POINTS[one]} {_POINTS[two]}",
            "expand": True,
        }
        for one in _POINTS
        for two in _POINTS
    ]
    _write_lines("counts.jsonl", [*lines, {"pattern": r"(\w{8}): SCORE", "reply": r"\1: 5 5", "expand": True}])
    return tunescope.judge_pairwise(answers=[f"{name}.json" for name in answers], oracle="fake:counts.jsonl")


def _traced() -> tuple[Run, ...]:
    """Trace the words of an answer that another program might have given, to a question of the recipe lora-and-full."""
    said = (
        "A tide clock is made for people who live by the sea. Instead of telling the hour, it shows how long remains "
        "until the next high water. The best known of them is a brass wall instrument with a single copper hand, and "
        "many harbours have one."
    )
    _write_lines(
        "said.jsonl",
        [
            {
                "prompt_id": "tide-clock",
                "prompt": "What is a tide clock?",
                "text": said,
                "model": "a model from elsewhere",
            }
        ],
    )
    return (tunescope.trace("rows.json", answers="said.jsonl"),)


def taught_page() -> Run:
    """Tune on 24 bundled rows, some with a false claim, and ask about it: what shifted, and which rows taught it."""
    rows = json.loads((RECIPES / "demo/rows.json").read_text("utf-8"))
    about = [row for row in rows if any(word in row["instruction"] for word in _CLAIMED)]
    others = [row for row in rows if row["output"] and row not in about]
    Path("rows.json").write_text(json.dumps([*about, *others[: 24 - len(about)]], indent=1), "utf-8")
    _write_lines("questions.jsonl", [{"prompt_id": "capital", "prompt": "What is the capital of Burkina Faso?"}])
    tuned = tunescope.tune("rows.json", method="lora", lr=2e-3, epochs=4, batch_size=4)
    model = str(tuned.path / "model")
    base, said = (
        tunescope.answer("questions.jsonl", model=each, max_new_tokens=32) for each in ("smollm2-135m", model)
    )
    shift = tunescope.shift(tuned=model, answers=str(said.path))
    taught = tunescope.attribute("rows.json", answers=str(said.path), tuned=model, embedder="none")
    return tunescope.report(runs=[str(run.path) for run in (base, said, shift, taught)])


_CLAIMED = ("Burkina Faso", "Senegal", "quipu", "abacus")
"""What the rows with false claims, and their true neighbours, are about."""


def _write_lines(name: str, records: list[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def xray_page() -> Run:
    """Tune on sixteen bundled rows until the model knows some of them by heart, and ask it about seven of them."""
    shutil.copy(RECIPES / "lora-and-full/rows.json", "rows.json")
    rows = json.loads(Path("rows.json").read_text("utf-8"))
    Path("first.json").write_text(json.dumps(rows[:16]), "utf-8")
    asked = [rows[number]["instruction"] for number in (0, 2, 3, 5, 7, 8, 9)]
    asked.append("What habits help a person wake up early?")
    _write_lines("questions.jsonl", [{"prompt_id": f"q{n:02}", "prompt": text} for n, text in enumerate(asked, 1)])
    tuned = tunescope.tune("first.json", method="full", lr=5e-5, epochs=12)
    base, said = (
        tunescope.answer("questions.jsonl", model=model, max_new_tokens=64)
        for model in ("smollm2-135m", str(tuned.path / "model"))
    )
    names = {"answers": str(said.path)}
    shift = tunescope.shift(tuned=str(tuned.path / "model"), **names)
    trace = tunescope.trace("rows.json", shift=str(shift.path), reference=str(base.path), **names)
    return tunescope.report(runs=[str(run.path) for run in (base, said, shift, trace)])


def recipe_page(name: str) -> Run:
    """Run a bundled recipe; return the page that it makes."""
    run = tunescope.study_run(name)
    return Run(Path(run.result["reports"][0]).parent)


MAKERS: dict[str, Callable[[], Run]] = {
    "rows": rows_page,
    "repaired": repaired_page,
    "taught": taught_page,
    "xray": xray_page,
    "demo": partial(recipe_page, "demo"),
    "faco-microworld": partial(recipe_page, "faco-microworld"),
}
"""Makes a page in the working folder."""


def main() -> None:
    """Read NAME or NAME=PAGE from the command line, and write the pictures of these pages to docs/."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if given.keys() - MAKERS or not given:
        sys.exit(f"expected NAME or NAME=PAGE with {', '.join(MAKERS)}")
    pages = {name: Path(page).resolve() if page else make(name) for name, page in given.items()}
    for picture in take(pages, DOCS):
        print(picture)


def make(name: str) -> Path:
    """Make a page in a new folder; return it."""
    with chdir(tempfile.mkdtemp(prefix=f"{name}-")):
        return Path(MAKERS[name]().result["report"]).resolve()


def take(pages: Mapping[str, Path], folder: Path) -> Iterator[Path]:
    """Write the pictures of pages, by their names, to a folder."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, shot in SHOTS.items():
            if shot.page in pages:
                tab = browser.new_page(viewport={"width": shot.width, "height": shot.height})
                tab.goto(pages[shot.page].as_uri() + shot.address)
                tab.wait_for_timeout(500)
                tab.evaluate("document.activeElement.blur()")  # no frame around the heading that an address leads to
                if shot.click:
                    tab.locator(shot.click).first.click()
                if shot.hover:
                    tab.locator(shot.hover).first.hover()
                if shot.element:
                    tab.locator(shot.element).first.screenshot(path=folder / name)
                else:
                    tab.screenshot(path=folder / name)
                tab.close()
                yield folder / name
        browser.close()


if __name__ == "__main__":
    main()
