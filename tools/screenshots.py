"""Take the pictures of the docs anew, from pages that `report` makes.

    python tools/screenshots.py rows xray demo faco-microworld=runs/report-…/report.html

A page that is named is made first (rows: seconds; xray, faco-microworld: minutes; demo: eight minutes on two cores),
or it is the one that is given. Which part of it a picture shows stands in `SHOTS`. Needs Chromium.
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
from typing import NamedTuple

import tunescope
from tunescope.runs import Run

DOCS = Path(__file__).resolve().parents[1] / "docs"
RECIPES = DOCS.parent / "recipes"


class Shot(NamedTuple):
    """A picture: its page, the address in it, the element (none: what is in sight), and how wide and high that is.

    Before it is taken, `click` is clicked in the answers and `hover` pointed at.
    """

    page: str
    address: str = ""
    element: str = ""
    width: int = 1280
    height: int = 900
    click: str = ""
    hover: str = ""


SHOTS = {
    "demo.png": Shot("demo", width=1400, height=1000),
    "lie.png": Shot("demo", "#prompt=capital", "#xray-app .xray", height=640),
    "xray.png": Shot("xray", "#prompt=q03", "#xray-app .xray", height=1000, click=".b", hover=".c.s"),
    "faco-microworld.png": Shot("faco-microworld", "#dose-1", width=1280, height=1100),
    "case.png": Shot("demo", "#cases", ".case"),
    "rows.png": Shot("rows", "#rows=rows-1&row=02588392bb511afb", width=1280, height=800),
}


def rows_page() -> Run:
    """Check the bundled rows."""
    shutil.copy(RECIPES / "lora-and-full/rows.json", "rows.json")
    return tunescope.report(runs=[str(tunescope.check("rows.json").path)])


def xray_page() -> Run:
    """Tune on sixteen bundled rows until the model knows some of them by heart, and ask it about seven of them."""
    shutil.copy(RECIPES / "lora-and-full/rows.json", "rows.json")
    rows = json.loads(Path("rows.json").read_text("utf-8"))
    Path("first.json").write_text(json.dumps(rows[:16]), "utf-8")
    asked = [rows[number]["instruction"] for number in (0, 2, 3, 5, 7, 8, 9)]
    asked.append("What habits help a person wake up early?")
    lines = [json.dumps({"prompt_id": f"q{n:02}", "prompt": text}) + "\n" for n, text in enumerate(asked, 1)]
    Path("questions.jsonl").write_text("".join(lines), "utf-8")
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
                if shot.click:
                    tab.locator(f"#xray-detail {shot.click}").first.click()
                if shot.hover:
                    tab.locator(f"#xray-detail {shot.hover}").first.hover()
                if shot.element:
                    tab.locator(shot.element).first.screenshot(path=folder / name)
                else:
                    tab.screenshot(path=folder / name)
                tab.close()
                yield folder / name
        browser.close()


if __name__ == "__main__":
    main()
