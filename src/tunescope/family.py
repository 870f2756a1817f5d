"""Families: packages with one module per member (row formats, faults, measures).

To add a member, add its file.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType


def members(package: ModuleType) -> tuple[ModuleType, ...]:
    """Import the public modules of `package`, in the order of their `ORDER`, then of their names."""
    names = sorted(m.name for m in iter_modules(package.__path__) if not m.name.startswith("_"))
    modules = [import_module(f"{package.__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: getattr(module, "ORDER", 0)))
