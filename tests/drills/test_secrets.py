"""A key, a proxy's password and an address's password: in nothing that a verb which talks to a server writes or says.

The server repeats what it is sent, the key and the proxy's password, in all that it says: in replies and in errors.
An address with a password is refused, so no server sees that.
"""

from __future__ import annotations

import json
import os
import shlex
from base64 import b64encode
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("openai")

from tests import warm
from tests.drills import cases
from tests.drills.counts import count
from tests.drills.kills import finish
from tests.oracle.server import Said, Server, completion, serving
from tests.tools import ROOT

KEY, PROXY, ADDRESS = "sk-planted-0123456789/aB+c", "proxy-hunter-2-secret", "address-hunter-3-secret"
SECRETS = (KEY, PROXY, ADDRESS)
ECHO = " ".join((KEY, PROXY, quote(KEY, safe=""), b64encode(f"me:{PROXY}".encode()).decode(), json.dumps(KEY)[1:-1]))
AWAY = "http://model.test/v1"
"""An address that only the proxy knows."""
FORMS = tuple(
    form.encode()
    for secret in SECRETS
    for form in (
        secret,
        quote(secret, safe=""),
        b64encode(secret.encode()).decode(),
        b64encode(b"me:" + secret.encode()).decode(),
    )
)
REPLIES = "<short_response>ECHO</short_response>\nScore: 4\n<new_response>\nECHO\n</new_response>\n" + (
    "<new_instruction>\nWhat is ECHO?\n</new_instruction>\n<corrected_response>\nECHO\n</corrected_response>\n"
    "<explanation>\nECHO\n</explanation>\n<verdict>\nnot equal\n</verdict>"
)
TALKING = {
    **{name: case for name, case in cases.CASES.items() if "--oracle" in case.command},
    "answer, a server": cases.Case("answer q.jsonl --model URL --max-new-tokens 8", cases.modelled, "q.jsonl"),
}
"""Every verb that asks a server."""
FEW = ("repair rate", "judge winrate", "answer, a server")


def good(body, call: int) -> Said:
    return Said(completion(REPLIES.replace("ECHO", ECHO), id=ECHO))


def bad(status: int):
    def behave(body, call: int) -> Said:
        return Said({"error": {"message": f"no: {ECHO}", "code": ECHO, "param": ECHO}}, status)

    return behave


def mixed():
    ways = cycle((good, bad(400), good, bad(500), lambda body, call: Said(ECHO.encode(), 503), good))
    return lambda body, call: next(ways)(body, call)


def run(verb: str, folder: Path, url: str, *more: str, **environment: str) -> tuple[int, str]:
    """Run a verb at a server; return its exit code and all that it said."""
    command = TALKING[verb].command.replace("fake:fake.jsonl", url).replace("URL", url)
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs", "HOME": str(folder), **cases.QUIET}
    words = ["-m", "tunescope", *shlex.split(command), *more]
    done = warm.run(words, cwd=folder, env={**env, "OPENAI_API_KEY": KEY, **environment}, timeout=300)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def look(folder: Path, said: str) -> int:
    """Fail where a secret is in what was said or written; return how many files there are."""
    found = [form for form in FORMS if form.decode() in said]
    assert not found, f"said: {found[0]!r} in {said}"
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        data = path.read_bytes()
        for form in FORMS:
            assert form not in data, f"{path}: {form!r}"
        assert not any(form.decode() in str(path) for form in FORMS)
    return len(files)


def drill(verb: str, folder: Path) -> None:
    """Ask servers that reply well, badly and both, through a proxy too, and one whose address has a password."""
    files = runs = 0
    ways = {"good": good, "mixed": mixed(), "refusing": bad(401), "failing": bad(404)}
    for name, behave in ways.items():
        place = cases.write(TALKING[verb], folder / name)
        listed = Said({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
        with serving(behave, pages={f"{AWAY}/models": listed}) as server:
            proxy = server.url.replace("http://", f"http://me:{PROXY}@").removesuffix("/v1")
            files += ask(verb, place, server, AWAY, http_proxy=proxy, HTTP_PROXY=proxy)
            runs += 1
        with serving(good) as server:
            address = server.url.replace("http://", f"http://me:{ADDRESS}@")
            code, said = run(verb, place, address)
            assert code in (1, 2), said
            look(place, said)
            runs += 1
    count(
        verb,
        "secrets in the environment, the address and all that the server says",
        runs,
        files,
        "no secret in any file or output",
    )


def ask(verb: str, place: Path, server: Server, url: str, **environment: str) -> int:
    """Ask, and make a page of the run where there is one; return the number of files that were looked at."""
    deadline = "60" if server.behave is good else "0.3"
    code, said = run(verb, place, url, "--json", "--deadline", deadline, **environment)
    if server.behave is good:
        assert code in (0, 4), said
        assert server.bodies
    files = look(place, said)
    done = [str(path.parent.relative_to(place)) for path in place.glob("runs/*/run.json")]
    if done:
        finish(["report", *done], place, **cases.QUIET)
        files += look(place, "")
    return files


@pytest.fixture(autouse=True)
def warmed(monkeypatch):
    """Fork processes also in `make drill`."""
    monkeypatch.setenv("TUNESCOPE_COLD", "")


@pytest.mark.parametrize("verb", FEW)
def test_no_secret_is_kept(tmp_path, verb):
    drill(verb, tmp_path)


@pytest.mark.drill
@pytest.mark.parametrize("verb", TALKING)
def test_no_secret_is_kept_by_any_verb(tmp_path, verb):
    drill(verb, tmp_path)
