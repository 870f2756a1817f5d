"""Every drill's counts go to a file of its own."""

from __future__ import annotations

import pytest

from tests.drills import counts


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Write what a drill counted, whether it held, and how long it took."""
    report = yield
    if report.when == "setup":
        counts.begin()
    if report.when == "call" or (report.when == "setup" and report.skipped):
        counts.write(item.nodeid, report.outcome, report.duration, item.get_closest_marker("drill") is not None)
    return report
