"""A wheel that was built here, installed in empty environments: alone and with each extra, from the package index."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.tools import ROOT, alpaca, write_rows

ROWS = "rows.jsonl"
MEASURE = ["measure", ROWS, "--model", "microworld", "--without", "coherence"]
ORACLE = ["--oracle", "fake:replies.jsonl"]
COMMANDS = {
    "": [["check", ROWS], ["select", ROWS, "--sample", "2"], ["repair", "simplify", ROWS, *ORACLE]],
    "annotate": [["annotate", "create", ROWS, "--kind", "spans"]],
    "bench,models": [["bench", "--suite", "microworld", "--model", "microworld"]],
    "embed,models": [["models", "--fetch", "all-minilm-l6-v2"], ["attribute", "index", ROWS]],
    "local": [["models"]],
    "models": [MEASURE, ["tune", ROWS, "--model", "microworld", "--max-steps", "1", "--method", "lora"]],
    "oracle": [["repair", "simplify", ROWS, *ORACLE]],
    "trace": [["trace", "--text", "It is said that four is even.", "--rows", ROWS]],
}
NEEDED = {"measure": "models", "trace": "trace"}
"""Verbs that core alone hasn't, and the extra that the refusal must name."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    (built,) = folder.glob("tunescope-*.whl")
    return built


def run(python: Path, folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tunescope from an environment, away from the checkout."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(python.with_name("tunescope")), *command],
        cwd=folder,
        env=own | {"TUNESCOPE_RUNS": "runs"},
        capture_output=True,
        text=True,
    )


@pytest.mark.drill
@pytest.mark.parametrize("extras", sorted(COMMANDS))
def test_a_wheel_installs_and_works(wheel, tmp_path, extras):
    write_rows(tmp_path / ROWS, [alpaca(f"Is {n} even?", f"It is said that {n} is even, or not.") for n in range(8)])
    (tmp_path / "replies.jsonl").write_text('{"pattern": "", "reply": "<short_response>Yes.</short_response>"}\n')
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    what = f"{wheel}[{extras}]" if extras else str(wheel)
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", what]
    subprocess.run(pip, check=True, capture_output=True)
    for command in COMMANDS[extras]:
        done = run(python, tmp_path, command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    if not extras:
        for verb, extra in NEEDED.items():
            (command,) = [c for commands in COMMANDS.values() for c in commands if c[0] == verb]
            done = run(python, tmp_path, command)
            assert done.returncode != 0
            assert f"tunescope[{extra}]" in done.stderr
            assert "Traceback" not in done.stderr
