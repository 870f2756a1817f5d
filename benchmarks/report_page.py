"""How long a large page takes to be drawn, in Chromium: 1,000 answers with tokens, and 10,000 plain ones.

    PYTHONPATH=. python benchmarks/report_page.py [--rounds 5]

The answers are made up, as the tests make them: 500 questions asked of two models, 200 tokens and three borrowed spans
of five rows an answer; and 10,000 questions of one model, some 25 words an answer. Seconds run from the beginning of
the navigation to the second frame after the page has loaded, when the list of prompts and the first answers stand
there; and from a search that leaves one prompt to the frame that shows it. Pages in turn, each in a new tab, one round
to warm up; medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from tests.verbs.report.xray_runs import answer_of, answer_run, many
from tests.verbs.report.xray_scene import page_of

from tunescope.answers import ANSWERS_FILE, read_answers

DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
SEARCHED = """([words]) => new Promise((done) => {
  const begun = performance.now(), query = document.getElementById('xray-query');
  query.value = words;
  query.dispatchEvent(new Event('input', {bubbles: true}));
  const one = () => document.querySelectorAll('#xray-list a').length === 1;
  const look = () => one() ? done(performance.now() - begun) : requestAnimationFrame(look);
  look();
})"""


def main() -> None:
    """Make the pages, draw each in turn and print a line per page."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name)
        plain = [answer_of(f"q{k}", f"What is {k}?", f"It is the number {k}. " * 5, "m") for k in range(10_000)]
        runs = many(folder, 500, 200, ["LoRA", "full"])
        *_, last = read_answers(runs[0].path / ANSWERS_FILE)
        pages = {
            "1,000 answers with tokens": (page_of(runs, folder / "tokens"), last.prompt),
            "10,000 plain answers": (page_of([answer_run(folder / "a", plain)], folder / "plain"), "number 9999."),
        }
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        drawn: dict[str, list[float]] = {page: [] for page in pages}
        searched: dict[str, list[float]] = {page: [] for page in pages}
        for number in range(rounds + 1):
            for page, (file, words) in pages.items():
                tab = browser.new_page(viewport={"width": 1280, "height": 900})
                tab.goto(file.resolve().as_uri())
                seconds = tab.evaluate(DRAWN) / 1000, tab.evaluate(SEARCHED, [words]) / 1000
                if number:
                    drawn[page].append(seconds[0])
                    searched[page].append(seconds[1])
                tab.close()
        for page, (file, _) in pages.items():
            size = file.stat().st_size / 1e6
            print(f"{page}: {size:.1f} MB, drawn {_said(drawn[page])}, searched {_said(searched[page])}")
        print(f"Chromium {browser.version}")
        browser.close()


def _said(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
