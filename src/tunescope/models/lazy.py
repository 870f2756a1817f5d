"""Import the packages of the `models` extra when they are needed, and keep them quiet."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tunescope.errors import MissingPackageError


def require(package: str) -> Any:
    """Import one of the packages that the `models` extra brings; raises `MissingPackageError`."""
    if "torch" not in sys.modules:
        # OpenMP's threads otherwise spin while they wait: on 2 cores that other processes use too,
        # a training step took 4 times as long
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or package).partition(".")[0] != package.partition(".")[0]:
            raise
        raise MissingPackageError(package, "models", "working with a model") from error


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Silence the progress bars, warnings and logs of transformers, TRL, PEFT and their like."""
    chatter = require("transformers.utils.logging")
    names = ("accelerate", "bitsandbytes", "datasets", "lm_eval", "peft", "trl", "torch")
    loggers = [logging.getLogger(name) for name in names]
    levels, verbosity, bars = [log.level for log in loggers], chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity_error()
    chatter.disable_progress_bar()
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        chatter.set_verbosity(verbosity)
        if bars:
            chatter.enable_progress_bar()
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)


def require_quantizer(load: str) -> Any:
    """Import bitsandbytes, which `--load` needs."""
    try:
        return importlib.import_module("bitsandbytes")
    except ModuleNotFoundError as error:
        raise MissingPackageError("bitsandbytes", "quantised", f"--load {load}") from error
