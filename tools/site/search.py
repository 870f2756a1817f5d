"""Type words into the built site's search, in Chromium and from disk, and look at the first results.

    .venv/bin/python tools/site/search.py            # exit 1 where no page that people want is among the first
    .venv/bin/python tools/site/search.py --results  # print the first five results of each

`make site` runs it where Chromium is installed. On 2026-11-30 the first results were:

    which row  how-to/attribute, reference/verbs/index, concepts/limits, how-to/wrong-answer, how-to/falsity-budget
    forget     how-to/bench, index, how-to/better-data, how-to/lora-or-full
    LoRA       how-to/lora-or-full, tutorials/demo, reference/verbs/tune, proofs/attribution-truth, proofs/shift
    csv        reference/row-formats, reference/dose-response, how-to/study-analyze, reference/verbs/check
    budget     reference/oracle, how-to/falsity-budget, how-to/study-race, reference/glossary, concepts/architecture
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

SITE = Path(__file__).resolve().parents[2] / ".site" / "site"
FIRST = 5
"""How many results are looked at."""
WANTED = {
    "which row": {"index.html", "how-to/wrong-answer.html", "how-to/attribute.html"},
    "forget": {"how-to/bench.html", "how-to/compare.html", "how-to/lora-or-full.html"},
    "LoRA": {"how-to/lora-or-full.html"},
    "csv": {"reference/row-formats.html"},
    "budget": {"how-to/falsity-budget.html", "reference/oracle.html"},
}
"""What people type, and the pages of which one has to be among the first results."""


def results() -> dict[str, list[str]]:
    """Return the pages of the first results of each query, as the site's own search orders them."""
    from playwright.sync_api import sync_playwright

    said = {}
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for query in WANTED:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            asked: list[str] = []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto((SITE / "index.html").as_uri())
            tab.keyboard.press("/")
            tab.keyboard.type(query, delay=30)
            tab.wait_for_timeout(1500)
            links = tab.locator("a[role=option]").evaluate_all("all => all.map(each => each.href)")
            said[query] = _pages(links)
            if outside := [url for url in asked if not re.match(r"(file|data|blob|about):", url)]:
                raise SystemExit(f"the site asks for {', '.join(outside)}")
            tab.close()
        browser.close()
    return said


def _pages(links: list[str]) -> list[str]:
    """Return the pages that links lead to, each once, without what follows # and ?."""
    base = f"{SITE.as_uri()}/"
    pages = [re.split(r"[?#]", link)[0].removeprefix(base) for link in links if link.startswith(base)]
    return [*dict.fromkeys(pages)][:FIRST]


def main() -> int:
    """Search, and say which query doesn't find what it should."""
    if shutil.which("chromium") is None:
        print("Chromium isn't installed, so the search wasn't tried.")
        return 0
    missed = 0
    for query, pages in results().items():
        if "--results" in sys.argv:
            print(f"{query}: {', '.join(pages)}")
        if not WANTED[query] & {*pages}:
            missed += 1
            print(f"'{query}' finds {pages}; expected one of {sorted(WANTED[query])}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
