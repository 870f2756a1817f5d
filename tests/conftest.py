"""What all tests share: drills run only when asked for, and a place to work in."""

from __future__ import annotations

import os
import re
import signal
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

from tests import warm
from tests.tools import EXAMPLES, ROOT
from tunescope.models import DEFAULT, cached

# Threads that wait must not spin: on few cores that others use too, torch is several times slower. Tests run side by
# side, one on each core, so each gets one thread.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine, or the first call of something compiled, is no failure: nothing here is a timed test.
# `make test-fast` tries a fifth of the examples of `make test`, and `make drill` twenty times as many.
for profile, factor in (("fast", 0.2), ("usual", 1), ("drill", 20)):
    settings.register_profile(profile, deadline=None, max_examples=int(factor * EXAMPLES))

# Started in the background of a script, we and all we start would ignore Ctrl-C; the tests of it need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


NEEDS_TORCH = re.compile(r'^(?:\w+ = )?pytest\.importorskip\("torch"\)', re.MULTILINE)


def pytest_collection_modifyitems(config, items):
    """Leave the drills at full length to `pytest -m drill`, and what is slow to a run without `--fast`."""
    left_out = {"drill"} if "drill" not in config.option.markexpr else set()
    left_out |= {"slow", "model"} if config.option.fast else set()
    left_out |= {"long"} if not config.option.all and "drill" in left_out else set()
    for item in items:
        if "drills" in item.path.parts:
            item.add_marker(pytest.mark.long)
        if item.get_closest_marker("model") and cached(DEFAULT) is None:
            item.add_marker(pytest.mark.skip("the embedded model isn't in the cache; type: tunescope models --fetch"))
    dropped = [item for item in items if any(item.get_closest_marker(name) for name in left_out)]
    items[:] = [item for item in items if item not in {*dropped}]
    config.hook.pytest_deselected(items=dropped)


def pytest_ignore_collect(collection_path, config):
    """With `--fast`, don't even import a test module that drills or needs torch: importing takes seconds."""
    if config.option.fast and collection_path.name.startswith("test_"):
        needs_torch = NEEDS_TORCH.search(collection_path.read_text("utf-8"))
        if needs_torch or collection_path.parent.name == "drills":
            return True
    return None


TESTED = ROOT / "docs" / "proofs" / "tested.md"
ABOUT_TESTED = """# What is tested

Which model architectures and chat templates are tested?
`make docs` writes this page from test results. A test run fails if a cell isn't true.

- *tested*: the values equal an independent reference (see `tests/test_tested.py` and `tests/test_chat.py`).
- *refused*: an error says so in one sentence, and a test checks that.
- Everything else is at best *expected* to work: the code is the same, but it is untested. This includes everything on
  GPUs (bf16, 4-bit, `--device-map`), since we had no GPU.

What `measure`, `answer` and `shift` do on each architecture that transformers can build small is a table of its own:
[architectures](architectures.md).
"""


def pytest_addoption(parser):
    """Add the option that writes docs/proofs/tested.md, and the one that leaves out what is slow."""
    parser.addoption("--fast", action="store_true", help="leave out models, and every test of over a second")
    parser.addoption("--all", action="store_true", help="the long tests too: docs, Chromium, Ray, loops, short drills")
    parser.addoption("--tested", action="store_true", help="write docs/proofs/tested.md from this run's results")


def pytest_configure(config):
    """Collect what passes; drills at full length kill real processes, other tests share a warmed one."""
    drill = "drill" in config.option.markexpr
    settings.load_profile("drill" if drill else "fast" if config.option.fast else "usual")
    if drill:
        os.environ.setdefault("TUNESCOPE_COLD", "1")
    if not hasattr(config, "workerinput"):
        warm.share(models=not config.option.fast)
    config.pluginmanager.register(Cells(config.getoption("--tested")), "tunescope-cells")


class Cells:
    """The cells of docs/proofs/tested.md that this run has seen: (table, row, column) → tested or refused."""

    def __init__(self, write):
        self.write, self.seen, self.wrong = write, {}, []

    def pytest_runtest_logreport(self, report):
        """Take the cells of a test that passed."""
        if report.when == "call" and report.passed:
            self.seen |= {tuple(cell[:3]): cell[3] for name, cell in report.user_properties if name == "tested"}

    def pytest_sessionfinish(self, session):
        """Write the page, or compare it with what this run has seen."""
        if hasattr(session.config, "workerinput"):
            return  # whoever started this worker gets its reports, and so sees all cells
        if self.write:
            TESTED.write_text(_page(self.seen), "utf-8")
        elif self.seen:
            page = _read(TESTED)
            self.wrong = [(cell, page.get(cell), what) for cell, what in self.seen.items() if page.get(cell) != what]
            session.exitstatus = session.exitstatus or int(bool(self.wrong))

    def pytest_terminal_summary(self, terminalreporter):
        """Say what the page has wrong."""
        for cell, said, what in self.wrong[:10]:
            terminalreporter.write_line(f"{TESTED.name} says {said} of {', '.join(cell)}; it is {what}: make docs")


def _page(cells):
    """Write tables: a row and a column per name, in the order seen."""
    tables = defaultdict(dict)
    for (table, row, column), what in cells.items():
        tables[table].setdefault(row, {})[column] = what
    parts = [ABOUT_TESTED]
    for table, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines = ["", f"## {table}", "", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {row} | {' | '.join(found.get(c, 'expected') for c in columns)} |" for row, found in rows.items()]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _read(path: Path):
    """Read what `_page` wrote."""
    found, table, columns = {}, "", []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("## "):
            table = line[3:]
        elif line.startswith("| | "):
            columns = cells[1:]
        elif line.startswith("| "):
            found |= {(table, cells[0], c): what for c, what in zip(columns, cells[1:], strict=True)}
    return found


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory whose run folders go to `runs`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESCOPE_RUNS", "runs")
    return tmp_path
