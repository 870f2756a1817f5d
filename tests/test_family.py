"""A family's members are the public modules of its package, in their own order."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from tunescope.family import members


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a_family_for_this_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_members_come_by_order_then_by_name(package: Path) -> None:
    for name, text in {"b": "", "a": "", "last": "ORDER = 2", "first": "ORDER = -1", "c": "ORDER = 0"}.items():
        (package / f"{name}.py").write_text(text)
    found = [module.__name__.partition(".")[2] for module in members(import_module(package.name))]
    assert found == ["first", "a", "b", "c", "last"]


def test_private_modules_and_other_files_are_no_members(package: Path) -> None:
    (package / "_shared.py").write_text("raise AssertionError")
    (package / "notes.txt").touch()
    (package / "one.py").touch()
    assert [module.__name__ for module in members(import_module(package.name))] == [f"{package.name}.one"]


def test_a_family_without_members(package: Path) -> None:
    assert members(import_module(package.name)) == ()
