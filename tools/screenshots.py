"""Take the pictures of the docs from pages that `report` made.

    python tools/screenshots.py demo=runs/report-…/report.html faco-microworld=…/report.html

Each picture whose page is given is written to docs/. Which part of the page it shows stands in `SHOTS`. Needs Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[1] / "docs"


class Shot(NamedTuple):
    """A picture: its page, the address in it, the element (none: what is in sight), how wide and high that is; and what
    is clicked and then pointed at before.
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


def main() -> None:
    """Read NAME=PAGE from the command line, and write the pictures of these pages."""
    from playwright.sync_api import sync_playwright

    pages = dict(argument.split("=", 1) for argument in sys.argv[1:])
    unknown = pages.keys() - {shot.page for shot in SHOTS.values()}
    if unknown or not pages:
        sys.exit(f"expected NAME=PAGE with {', '.join(sorted({shot.page for shot in SHOTS.values()}))}")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, shot in SHOTS.items():
            if shot.page in pages:
                tab = browser.new_page(viewport={"width": shot.width, "height": shot.height})
                tab.goto(Path(pages[shot.page]).resolve().as_uri() + shot.address)
                tab.wait_for_timeout(500)
                if shot.click:
                    tab.locator(f"#xray-detail {shot.click}").first.click()
                if shot.hover:
                    tab.locator(f"#xray-detail {shot.hover}").first.hover()
                if shot.element:
                    tab.locator(shot.element).first.screenshot(path=DOCS / name)
                else:
                    tab.screenshot(path=DOCS / name)
                tab.close()
                print(DOCS / name)
        browser.close()


if __name__ == "__main__":
    main()
