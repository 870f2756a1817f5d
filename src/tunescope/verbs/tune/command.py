"""Another trainer: a command that gets our rows and leaves a model folder behind."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections import deque
from typing import TYPE_CHECKING

from tunescope.errors import SettingsError, TunescopeError, WorkError
from tunescope.models.load import ADAPTER_CONFIG
from tunescope.progress import say
from tunescope.results.tune import TuneResult
from tunescope.runs import Outcome
from tunescope.views import View

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.runs import RunFolder
    from tunescope.verbs.tune.settings import TuneSettings

_PLACEHOLDERS = ("rows", "out", "seed", "model")
_N_LAST_LINES = 12
"""Lines of a failed command's output that are shown."""


def split_command(command: str) -> list[str]:
    """Split a command into words as a shell would.

    Raises:
        SettingsError: it doesn't split, names unknown placeholders, or lacks {rows} or {out}.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"--command {command!r}: {error}; expected a command as typed in a shell") from error
    placeholders = set(re.findall(r"\{(\w*)\}", command))
    choices = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
    if unknown := sorted(placeholders - set(_PLACEHOLDERS)):
        raise SettingsError(f"--command: {{{unknown[0]}}} is unknown; expected {choices}")
    if missing := [name for name in ("rows", "out") if name not in placeholders]:
        raise SettingsError(f"--command: {{{missing[0]}}} is missing; expected {choices}")
    return words


def run_command(settings: TuneSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    """Write the rows, run the command, and move the folder it made to `model/`.

    Raises:
        WorkError: the command can't be run, its exit status isn't 0, or it made no model that loads.
    """
    from tunescope.models import ModelSettings, load
    from tunescope.models.load import source
    from tunescope.rows import RowWriter, require_same_shape

    assert settings.command is not None
    with RowWriter(folder.scratch, "rows", require_same_shape(rows.files, "tune --command")) as writer:
        for row in rows:
            writer.write(row)
    out, target = folder.scratch / "out", folder.path / "model"
    shutil.rmtree(out, ignore_errors=True)
    values = {
        "rows": str(writer.path.resolve()),
        "out": str(out.resolve()),
        "seed": str(settings.seed),
        "model": source(settings.model),
    }
    words = [re.sub(r"\{(\w+)\}", lambda match: values[match[1]], word) for word in split_command(settings.command)]
    say(f"running {shlex.join(words)}")
    _call(words)
    if not any((out / name).is_file() for name in (ADAPTER_CONFIG, "config.json")):
        files = ", ".join(sorted(p.name for p in out.iterdir())[:8]) if out.is_dir() else "nothing"
        raise WorkError(
            f"{words[0]} succeeded, but {{out}} holds {files or 'nothing'}; expected a model: "
            f"config.json or {ADAPTER_CONFIG}"
        )
    try:
        load(ModelSettings(model=str(out), device_map="cpu"))
    except TunescopeError as error:
        raise WorkError(f"the model that {words[0]} made doesn't load: {error}") from error
    shutil.rmtree(target, ignore_errors=True)
    os.replace(out, target)
    result = TuneResult(rows=writer.count, model=str(target), command=shlex.join(words))
    sentence = f"{words[0]} tuned {settings.model} on {writer.count:,} rows; the model is in {target}."
    note = "tunescope doesn't know which of their tokens it trained on, or its losses."
    return Outcome(result.as_json(), View((sentence, note)))


def _call(words: list[str]) -> None:
    """Run a command and show its output where our own progress goes."""
    last_lines: deque[str] = deque(maxlen=_N_LAST_LINES)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise WorkError(f"--command: {words[0]} can't be run ({error.strerror})") from error
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            last_lines.append(line.rstrip("\n"))
            say(f"  {last_lines[-1]}")
    if process.returncode:
        shown = "\n".join(f"  {line}" for line in last_lines) or "  (nothing)"
        raise WorkError(f"{words[0]} ended with status {process.returncode}; its last lines:\n{shown}")
