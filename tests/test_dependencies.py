"""Every dependency has a licence that we know, and the lock has the versions that are tested."""

import re
import runpy

import pytest

from tests.tools import ROOT

tools = runpy.run_path(str(ROOT / "tools" / "dependencies.py"))


def versions(text):
    """Return the lowered name of each package that a file pins, with its version."""
    found = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s\\\\]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): number for name, number in found}


def test_the_page_says_what_is_installed():
    absent = "Not installed here"
    page, made = (ROOT / "docs" / "reference" / "dependencies.md").read_text("utf-8"), tools["page"]()
    if absent not in page or absent not in made:
        pytest.skip("other packages are installed here than where the page was made")
    assert made == page


def test_a_licence_that_nobody_knows_is_an_error():
    with pytest.raises(ValueError, match="numpy: found the licence 'Beerware'"):
        tools["_spdx"]("numpy", "Beerware")


def test_the_lock_has_the_tested_versions_and_hashes():
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    tested = versions((ROOT / "constraints.txt").read_text("utf-8"))
    locked = versions(lock)
    assert {name: locked[name] for name in tested if name in locked} == {n: tested[n] for n in tested if n in locked}
    assert tested.keys() - locked.keys() <= {"tzdata"}
    assert lock.count("--hash=sha256:") > 2 * len(locked)
    assert "://" not in lock


def test_nothing_that_is_shipped_imports_what_is_under_the_gpl():
    imports = re.compile(r"^\s*(import|from) krippendorff\b", re.MULTILINE)
    assert not [path for path in (ROOT / "src").rglob("*.py") if imports.search(path.read_text("utf-8"))]
