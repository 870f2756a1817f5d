"""Someone else's trainer: a command that is given our rows and leaves a model folder behind."""

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
    from tunescope.verbs.tune import TuneSettings

PLACEHOLDERS = ("rows", "out", "seed", "model")
LAST = 12
"""Lines of a failed command that are shown."""


def words(command: str) -> list[str]:
    """Split a command as a shell would; refuse one that couldn't leave us a model.

    Raises:
        SettingsError: it doesn't split, names unknown placeholders, or lacks {rows} or {out}.
    """
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise SettingsError(f"--command {command!r}: {error}; expected a command as typed in a shell") from error
    named = set(re.findall(r"\{(\w*)\}", command))
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    if unknown := sorted(named - set(PLACEHOLDERS)):
        raise SettingsError(f"--command: {{{unknown[0]}}} isn't known; there are {known}")
    if missing := [name for name in ("rows", "out") if name not in named]:
        raise SettingsError(f"--command: expected {{{missing[0]}}} in it; there are {known}")
    return found


def run(settings: TuneSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    """Write the rows, run the command, take over the folder it made as `model/`.

    Raises:
        WorkError: it isn't there, ended with another status than 0, or made nothing that loads.
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
    given = {
        "rows": str(writer.path.resolve()),
        "out": str(out.resolve()),
        "seed": str(settings.seed),
        "model": source(settings.model),
    }
    typed = [re.sub(r"\{(\w+)\}", lambda match: given[match[1]], word) for word in words(settings.command)]
    say(f"running {shlex.join(typed)}")
    _call(typed)
    if not any((out / name).is_file() for name in (ADAPTER_CONFIG, "config.json")):
        found = ", ".join(sorted(p.name for p in out.iterdir())[:8]) if out.is_dir() else "nothing"
        raise WorkError(
            f"{typed[0]} ended well, but {{out}} holds {found or 'nothing'}; expected a model: "
            f"config.json or {ADAPTER_CONFIG}"
        )
    try:
        load(ModelSettings(model=str(out), device_map="cpu"))
    except TunescopeError as error:
        raise WorkError(f"what {typed[0]} made doesn't load: {error}") from error
    shutil.rmtree(target, ignore_errors=True)
    os.replace(out, target)
    result = TuneResult(rows=writer.count, model=str(target), command=shlex.join(typed))
    sentence = f"{typed[0]} tuned {settings.model} on {writer.count:,} rows; the model is in {target}."
    note = "What it trained on, and its losses, are its own affair: nothing here was measured."
    return Outcome(result.as_json(), View((sentence, note)))


def _call(typed: list[str]) -> None:
    """Run a command whose talk goes where ours goes."""
    last: deque[str] = deque(maxlen=LAST)
    try:
        process = subprocess.Popen(
            typed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise WorkError(f"--command: {typed[0]} can't be run ({error.strerror})") from error
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip("\n"))
            say(f"  {last[-1]}")
    if process.returncode:
        said = "\n".join(f"  {line}" for line in last) or "  (nothing)"
        raise WorkError(f"{typed[0]} ended with {process.returncode}; its last lines:\n{said}")
