"""`annotate serve` as a command: links, revoking, what it refuses, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request

import pytest
from tests import warm
from tests.tools import ROOT, read_rows
from tests.verbs.annotate.studies import answer, make_study

pytest.importorskip("uvicorn")

from tunescope.annotations.access import Access
from tunescope.annotations.store import MARKS_FILE, MarkStore
from tunescope.errors import RunError, SettingsError
from tunescope.results.annotate import Mark
from tunescope.verbs.annotate.serve import AnnotateServeSettings, annotate_serve


@pytest.fixture
def study(workplace):
    return make_study("spans", {"a": [answer(i, f"one {i}") for i in range(3)]}, annotators=2).run.path


def serve(study, *arguments):
    """Start the command; return the process and what it said until it served."""
    process = warm.start(
        ["-m", "tunescope", "annotate", "serve", str(study), "--port", "0", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=-1,
        stderr=-1,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("Serving at"):
            break
    return process, "".join(said)


def test_links_are_shown_once_and_it_ends_with_how_far_the_study_is(study):
    process, said = serve(study)
    tokens = dict(re.findall(r"^(\w+): http://127\.0\.0\.1:\d+/enter#(\S+)$", said, re.MULTILINE))
    assert list(tokens) == ["A1", "A2", "reviewer"]
    address = re.search(r"Serving at (\S+)\.", said)[1]
    with urllib.request.urlopen(f"{address}/enter?token={tokens['A1']}") as reply:
        assert reply.status == 200
    os.kill(process.pid, signal.SIGTERM)
    rest = "".join(process.communicate(timeout=60))
    assert tokens["A1"] not in rest  # requests are written down nowhere
    assert all(token.encode() not in (study / MARKS_FILE).read_bytes() for token in tokens.values())
    process, again = serve(study, "--link", "A2")
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert "A1 has a link; another one is made with --link A1" in again
    assert re.search(r"^A2: \S+#(\S+)$", again, re.MULTILINE)[1] != tokens["A2"]
    with MarkStore(study) as store:
        assert all(Access(store).enter(token) for token in tokens.values())


def test_once_there_are_marks_it_names_what_comes_next(study):
    settings = AnnotateServeSettings(study=str(study), revoke=("A1",))
    assert annotate_serve(settings).view.next == ()
    (item, *_) = read_rows(study / "items.jsonl")
    with MarkStore(study) as store:
        said = {"answer_id": item["answers"][0]["answer_id"], "start": 0, "end": 3, "category": "not useful"}
        mark = Mark(mark_id="m", item_id=item["item_id"], annotator="A1", kind="spans", phase="main", value=said)
        store.write(mark, 0)
    assert annotate_serve(settings).view.next == (f"tunescope annotate agreement {study}",)


def test_revoking_serves_nothing(study):
    with MarkStore(study) as store:
        token = Access(store).make_link("A1")
        Access(store).make_link("A1")
    outcome = annotate_serve(AnnotateServeSettings(study=str(study), revoke=("A1", "A2")))
    assert outcome.view.sentences == (
        "A1: 2 links revoked.",
        "A2: 0 links revoked.",
        f"0 marks in {study}/marks.db.",
    )
    assert outcome.result == {
        "study": str(study),
        "marks": 0,
        "annotators": [{"annotator": name, "finished": 0, "items": 3, "marks": 0} for name in ("A1", "A2")],
    }
    with MarkStore(study) as store:
        assert Access(store).enter(token) is None


def test_what_is_refused(study, workplace):
    with pytest.raises(SettingsError, match=r"^found A9; expected some of A1, A2, reviewer$"):
        annotate_serve(AnnotateServeSettings(study=str(study), link=("A9",)))
    with pytest.raises(RunError, match=r"expected a finished run folder"):
        annotate_serve(AnnotateServeSettings(study=str(workplace)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        expected = rf"^--host 127\.0\.0\.1 --port {port}: can't be listened on \(.*in use.*\); give another --port"
        with pytest.raises(SettingsError, match=expected):
            annotate_serve(AnnotateServeSettings(study=str(study), port=port))
    (study / MARKS_FILE).unlink()
    (study / MARKS_FILE).write_text("something else")
    with pytest.raises(RunError, match=r"marks\.db: found no file of marks"):
        annotate_serve(AnnotateServeSettings(study=str(study)))
