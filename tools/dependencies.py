"""What we depend on: `docs/reference/dependencies.md` with all licences, and `requirements.lock` with its hashes.

`python tools/dependencies.py` writes the page from what is installed. `--lock UV` writes the lock too, with uv.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "dependencies.md"
CONSTRAINTS = ROOT / "constraints.txt"
LOCK = ROOT / "requirements.lock"
NAMES = {
    "0BSD": r"0BSD",
    "Apache-2.0": r"Apache([- ](Software|License))?.*(License|2\.0)|Apache-2\.0.*",
    "BSD": r"(The )?(New |Modified |3-Clause )?BSD( License|-[23]-Clause)?.*",
    "BSL-1.0": r"BSL-1\.0",
    "CC0-1.0": r"CC0-1\.0",
    "CNRI-Python": r"CNRI-Python",
    "GPL-3.0": r"GPL-3\.0.*|GNU General Public License v3.*",
    "ISC": r"ISC( License.*)?",
    "LGPL-2.1": r"GNU Lesser General Public License v2.*|LGPL-2\.1.*",
    "MIT": r"(The )?MIT( License)?( \(MIT\))?",
    "MPL-2.0": r"MPL-2\.0|Mozilla Public License 2\.0.*",
    "PSF-2.0": r"PSF-2\.0|Python Software Foundation License",
    "Zlib": r"Zlib",
}
"""SPDX names, and what packages call these licences."""
COPYLEFT = {
    "GPL-3.0": "Only our tests use it, to compare with; tunescope doesn't import it, and no extra but `dev` has it.",
    "LGPL-2.1": "It comes with lm-eval's dependencies (extra `bench`).",
    "MPL-2.0": "Used as they are.",
}
"""Licences with conditions on what is passed on, and what that means here."""
HEAD = """# Dependencies

What comes with tunescope, and under which licences?
What the tested versions of all extras pull in (`constraints.txt`), with the licence that each package states of itself.
This page is made by `python tools/dependencies.py`; a test compares it with what is installed.

`requirements.lock` has the same versions with the SHA-256 of every file, for Python 3.11 on Linux (x86-64). It installs
everything, and nothing that was changed since:

```sh
pip install --require-hashes --requirement requirements.lock && pip install --no-deps tunescope
```

torch there is the build for CUDA; a build for the CPU alone has another hash. `pip-audit --no-deps --requirement
requirements.lock` looks for known vulnerabilities. It asks a service that can't be reached where we build tunescope, so
nobody has looked yet.

"""


def names() -> list[str]:
    """Return the packages in `constraints.txt`."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    return [line.partition("==")[0] for line in lines if "==" in line]


def licences(package: str) -> tuple[str, ...]:
    """Return the SPDX names of a package's licences; empty where it states none.

    Raises:
        ValueError: a licence that `NAMES` doesn't know.
    """
    about = metadata(package)
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    stated = about.get("License-Expression") or "; ".join(c for c in classifiers if c != "OSI Approved")
    text = stated or next(iter((about.get("License") or "").splitlines()), "")
    found = {_spdx(package, part.strip()) for part in re.split(r";| AND | OR ", text) if part.strip()}
    return tuple(sorted(found))


def _spdx(package: str, text: str) -> str:
    for name, pattern in NAMES.items():
        if re.fullmatch(pattern, text):
            return name
    raise ValueError(f"{package}: found the licence '{text}', which tools/dependencies.py doesn't know")


def page() -> str:
    """Return the page, of what is installed."""
    by_licence: dict[tuple[str, ...], list[str]] = defaultdict(list)
    absent = []
    for package in names():
        try:
            by_licence[licences(package)].append(package)
        except PackageNotFoundError:
            absent.append(package)
    lines = [HEAD + "| licence | packages |", "|---|---|"]
    for found, packages in sorted(by_licence.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        lines.append(f"| {' and '.join(found) or 'none stated'} | {', '.join(packages)} |")
    lines += ["", *_remarks(by_licence, absent)]
    return "\n".join(lines) + "\n"


def _remarks(by_licence: dict[tuple[str, ...], list[str]], absent: list[str]) -> Iterator[str]:
    for name in COPYLEFT:
        packages = [package for found, of_it in by_licence.items() if name in found for package in of_it]
        if packages:
            yield f"- {name}: {', '.join(packages)}. {COPYLEFT[name]}"
    if absent:
        yield f"- Not installed here, so not looked at: {', '.join(absent)}."


def lock(uv: str) -> None:
    """Write `requirements.lock`."""
    command = [uv, "pip", "compile", "pyproject.toml", "--all-extras", "--constraint", "constraints.txt"]
    command += ["--generate-hashes", "--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet", "--output-file", str(LOCK)]
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Write the page, and the lock where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lock", metavar="UV", help="the program uv")
    given = parser.parse_args()
    if given.lock:
        lock(given.lock)
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
