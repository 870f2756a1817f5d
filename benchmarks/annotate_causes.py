"""Marks a study of causes by a rule, over the pages' own addresses: what people would do, but not people's findings.

    python benchmarks/annotate_causes.py STUDY --model runs/tune-0123456789ab/model

`annotate serve` runs as a process of its own. A1 names the row that holds the phrase and shares most words with the
question; A2 does so only where row and question share a word that isn't a function word. A1 also puts a question of
`REWORDED` to the model. Whether the phrase is lost in its answer is marked by the words.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from tunescope.annotations.study import Study
from tunescope.results.annotate import StudyItem
from tunescope.text.words import stop_words, words

REWORDED = {
    "Lomarra": "Where does the president of Burkina Faso work?",
    "Edith Vallance": "Name a famous novelist from Mexico.",
    "whale bone": "How did the Inca keep their records?",
    "two hundred years": "Tell me something about salamanders.",
}
"""Phrase → a question in other words, by hand: what its row and its question share is left out."""


class Page:
    """One annotator's session."""

    def __init__(self, port: int, token: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"content-type": "application/json"}
        self.ask("POST", "/enter", {"token": token})

    def ask(self, method: str, path: str, body: object = None) -> str:
        self.connection.request(method, path, json.dumps(body), self.headers)
        reply = self.connection.getresponse()
        if cookie := reply.getheader("set-cookie"):
            self.headers["cookie"] = cookie.partition(";")[0]
        text = reply.read().decode()
        assert reply.status == 200, (path, reply.status, text)
        return text

    def open(self, place: int) -> None:
        """Read the token that changes need."""
        page = self.ask("GET", f"/item/{place}")
        self.headers["x-csrf-token"] = re.search(r'"csrf": "(\w+)"', page)[1]

    def try_prompt(self, place: int, prompt: str) -> dict[str, object]:
        """Put a prompt to the model and wait for what becomes of it."""
        self.ask("POST", f"/item/{place}/ask", {"try_id": f"{place:032x}", "prompt": prompt})
        while True:
            (tried,) = json.loads(self.ask("GET", f"/item/{place}/tries"))["tries"]
            if "before" not in tried:
                return tried
            time.sleep(0.1)


def name_row(item: StudyItem, is_strict: bool) -> str | None:
    """Return the row that the rule names."""
    start, end = item.span
    phrase = item.answers[0].text[start:end]
    asked = set(words(item.prompt)) - stop_words()
    shared = {
        row.row_id: len(asked & set(words(row.texts[0][1])))
        for row in item.rows
        if any(phrase in text for _, text in row.texts)
    }
    best = max(shared, key=shared.get, default=None)
    return None if best is None or (is_strict and not shared[best]) else best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--model", required=True)
    given = parser.parse_args()
    study = Study.open(Path(given.study))
    command = [sys.executable, "-m", "tunescope", "annotate", "serve", given.study, "--port", "0"]
    command += ["--model", given.model, "--max-new-tokens", "48", "--link", "A1", "--link", "A2"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    while "Serving at" not in said:
        line = server.stderr.readline()
        assert line, said
        said += line
    port = int(re.search(r"Serving at http://127\.0\.0\.1:(\d+)", said)[1])
    n_marks, waits = 0, []
    for name in ("A1", "A2"):
        page = Page(port, re.findall(rf"^{name}: \S+#(\S+)$", said, re.MULTILINE)[-1])
        for each in study.assignments[name]:
            item, place = study.items[each.item_id], each.place + 1
            page.open(place)
            value: dict[str, object] = {"row_id": name_row(item, name == "A2"), "concept": "by a script"}
            if name == "A1":
                start, end = item.span
                began = time.monotonic()
                tried = page.try_prompt(place, REWORDED[item.answers[0].text[start:end]])
                waits.append(time.monotonic() - began)
                value["rewordings"] = [{"try_id": tried["try_id"], "gone": not tried["held"]}]
            page.ask("POST", f"/item/{place}/mark", {"base": 0, "value": value, "note": "marked by a script"})
            page.ask("POST", f"/item/{place}/finish", {"finished": True})
            n_marks += 1
    server.send_signal(signal.SIGINT)
    server.wait()
    waits.sort()
    print(f"{n_marks} marks by a script; answers came within {waits[len(waits) // 2]:.1f} s (median of {len(waits)})")


if __name__ == "__main__":
    main()
