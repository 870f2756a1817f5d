"""How long annotators wait: many at once, each marking spans and opening pages; nothing may be lost.

    python benchmarks/annotate_load.py --annotators 20 --seconds 60

The server is a process of its own, as `annotate serve` starts it. Each annotator sends a mark, waits for its
acknowledgement and thinks for `--think` seconds; every tenth time a page is opened. At the end the server is killed,
and the marks in its file are compared with those that were acknowledged.
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

from tunescope.annotations.store import read_marks


class Annotator(threading.Thread):
    """Marks until the time is over."""

    def __init__(self, port: int, token: str, seconds: float, think: float) -> None:
        super().__init__()
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"content-type": "application/json"}
        self.headers["cookie"] = self.ask("POST", "/enter", {"token": token})[1].partition(";")[0]
        self.headers["x-csrf-token"] = re.search(r'"csrf": "(\w+)"', self.ask("GET", "/item/1")[2])[1]
        self.seconds, self.think = seconds, think
        self.acknowledged: list[str] = []
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
            mark_id = f"{random.getrandbits(128):032x}"
            value = {"start": 0, "end": 5, "category": "not factual"}
            begun = time.monotonic()
            if is_page:
                status, *_ = self.ask("GET", f"/item/{place}")
            else:
                body = {"mark_id": mark_id, "base": 0, "value": value, "note": "a note of some length"}
                status, *_ = self.ask("POST", f"/item/{place}/mark", body)
            self.waits["page" if is_page else "mark"].append(time.monotonic() - begun)
            assert status == 200, status
            if not is_page:
                self.acknowledged.append(mark_id)
            time.sleep(random.uniform(0, 2 * self.think))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=0.5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers = [
            {"prompt_id": f"p{i}", "prompt": f"Who is {i}?", "text": f"Person {i} bakes. " * 40} for i in range(20)
        ]
        (folder / "answers.jsonl").write_text("".join(json.dumps(each) + "\n" for each in answers))
        command = [sys.executable, "-m", "tunescope", "annotate"]
        study = folder / "study"
        create = ["create", "answers.jsonl", "--kind", "spans", "--annotators", str(given.annotators)]
        subprocess.run([*command, *create, "--out", str(study)], cwd=folder, check=True, capture_output=True)
        server = subprocess.Popen(
            [*command, "serve", str(study), "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True
        )
        said = ""
        while "Serving at" not in said:
            said += server.stderr.readline()
        port = int(re.search(r"Serving at http://127\.0\.0\.1:(\d+)", said)[1])
        tokens = re.findall(r"^A\d+: \S+#(\S+)$", said, re.MULTILINE)
        annotators = [Annotator(port, token, given.seconds, given.think) for token in tokens]
        for each in annotators:
            each.start()
        for each in annotators:
            each.join()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        acknowledged = {mark_id for each in annotators for mark_id in each.acknowledged}
        kept = {mark.mark_id for mark in read_marks(study)}
    print(
        f"{given.annotators} annotators, {given.seconds:.0f} s, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{len(acknowledged):,} marks acknowledged, {len(acknowledged - kept):,} of them lost")
    for kind in ("mark", "page"):
        waits = sorted(wait for each in annotators for wait in each.waits[kind])
        at = [1000 * waits[min(len(waits) - 1, int(share * len(waits)))] for share in (0.5, 0.95, 0.99, 1)]
        times = f"median {at[0]:.0f}, 95 % {at[1]:.0f}, 99 % {at[2]:.0f}, longest {at[3]:.0f} ms"
        print(f"{kind}: n {len(waits):,}, {times}")


if __name__ == "__main__":
    main()
