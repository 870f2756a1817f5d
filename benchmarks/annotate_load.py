"""How long annotators wait: many at once, each marking spans and opening pages; nothing may be lost.

    python benchmarks/annotate_load.py --annotators 20 --seconds 60
    python benchmarks/annotate_load.py --annotators 20 --seconds 60 --model smollm2-135m

With a model the study is one of causes, each mark is a change of the annotator's mark of an item, and one more session
has the model answer reworded prompts all the while. The server is a process of its own, as `annotate serve` starts it.
Each annotator sends a mark, waits for its acknowledgement and thinks for `--think` seconds; every tenth time a page is
opened. At the end the server is killed, and the marks in its file are compared with those that were acknowledged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

from tunescope.annotations.store import MarkStore
from tunescope.answers import read_answers


class Annotator(threading.Thread):
    """Marks until the time is over."""

    def __init__(self, port: int, token: str, seconds: float, think: float, is_cause: bool) -> None:
        super().__init__()
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"content-type": "application/json"}
        self.headers["cookie"] = self.ask("POST", "/enter", {"token": token})[1].partition(";")[0]
        self.headers["x-csrf-token"] = re.search(r'"csrf": "(\w+)"', self.ask("GET", "/item/1")[2])[1]
        self.seconds, self.think = seconds, think
        self.is_cause, self.versions = is_cause, dict[int, int]()
        self.acknowledged: list[tuple[str, int]] = []
        self.waits: dict[str, list[float]] = {"mark": [], "page": []}

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str, str]:
        self.connection.request(method, path, json.dumps(body), self.headers)
        reply = self.connection.getresponse()
        return reply.status, reply.getheader("set-cookie") or "", reply.read().decode()

    def run(self) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until:
            place = random.randint(1, 20)
            is_page = random.random() < 0.1
            body = {"mark_id": f"{random.getrandbits(128):032x}", "note": "a note of some length"}
            base = self.versions.get(place, 0) if self.is_cause else 0
            concept = f"a concept, {len(self.acknowledged)}"
            span = {"start": 0, "end": 5, "category": "not factual"}
            value = {"row_id": None, "concept": concept} if self.is_cause else span
            begun = time.monotonic()
            if is_page:
                status, _, text = self.ask("GET", f"/item/{place}")
            else:
                status, _, text = self.ask("POST", f"/item/{place}/mark", {**body, "base": base, "value": value})
            self.waits["page" if is_page else "mark"].append(time.monotonic() - begun)
            assert status == 200, status
            if not is_page:
                said = json.loads(text)
                self.acknowledged.append((said["mark_id"], said["version"]))
                self.versions[place] = said["version"]
            time.sleep(random.uniform(0, 2 * self.think))


class Asker(Annotator):
    """Has the model answer one prompt after the other."""

    def run(self) -> None:
        until, self.n_answers = time.monotonic() + self.seconds, 0
        while time.monotonic() < until:
            place = 1 + self.n_answers // 20
            ids = {"try_id": f"{random.getrandbits(128):032x}", "prompt": f"What is {self.n_answers}, in other words?"}
            status, _, text = self.ask("POST", f"/item/{place}/ask", ids)
            assert status == 200, text
            while time.monotonic() < until and '"before"' in self.ask("GET", f"/item/{place}/tries")[2]:
                time.sleep(0.2)
            self.n_answers += 1


def write_cause(folder: Path) -> list[str]:
    """Write rows and phrases of the answers; return the options that name them."""
    rows = [{"instruction": f"Who is {i}?", "input": "", "output": f"Person {i} bakes."} for i in range(20)]
    (folder / "rows.json").write_text(json.dumps(rows))
    spans = [{"answer_id": each.answer_id, "start": 0, "end": 8} for each in read_answers(folder / "answers.jsonl")]
    (folder / "spans.jsonl").write_text("".join(json.dumps(each) + "\n" for each in spans))
    return ["--rows", "rows.json", "--spans", "spans.jsonl"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=0.5)
    parser.add_argument("--model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers = [
            {"prompt_id": f"p{i}", "prompt": f"Who is {i}?", "text": f"Person {i} bakes. " * 40} for i in range(20)
        ]
        (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
        command = [sys.executable, "-m", "tunescope", "annotate"]
        study = folder / "study"
        n_people = given.annotators + bool(given.model)
        create = ["create", "answers.jsonl", "--annotators", str(n_people)]
        create += ["--kind", "cause", *write_cause(folder)] if given.model else ["--kind", "spans"]
        subprocess.run([*command, *create, "--out", str(study)], cwd=folder, check=True, capture_output=True)
        server = subprocess.Popen(
            [*command, "serve", str(study), "--port", "0", *(["--model", given.model] if given.model else [])],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        while "Serving at" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        port = int(re.search(r"Serving at http://127\.0\.0\.1:(\d+)", said)[1])
        tokens = re.findall(r"^A\d+: \S+#(\S+)$", said, re.MULTILINE)
        about = (given.seconds, given.think, given.model is not None)
        annotators = [Annotator(port, token, *about) for token in tokens[: given.annotators]]
        askers = [Asker(port, token, *about) for token in tokens[given.annotators :]]
        for each in (*annotators, *askers):
            each.start()
        for each in (*annotators, *askers):
            each.join()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        acknowledged = {version for each in annotators for version in each.acknowledged}
        with MarkStore(study) as store:
            kept = {(mark_id, each.version) for mark_id, _ in acknowledged for each in store.history(mark_id)}
    print(
        f"{given.annotators} annotators, {given.seconds:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{len(acknowledged):,} marks acknowledged, {len(acknowledged - kept):,} of them lost")
    for each in askers:
        print(f"{each.n_answers} answers of {given.model} meanwhile")
    for kind in ("mark", "page"):
        waits = sorted(wait for each in annotators for wait in each.waits[kind])
        at = [1000 * waits[min(len(waits) - 1, int(share * len(waits)))] for share in (0.5, 0.95, 0.99, 1)]
        times = f"median {at[0]:.0f}, 95 % {at[1]:.0f}, 99 % {at[2]:.0f}, longest {at[3]:.0f} ms"
        print(f"{kind}: n {len(waits):,}, {times}")


if __name__ == "__main__":
    main()
