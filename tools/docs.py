"""Execute everything that the docs show, and check it against what they say it prints.

A ```console block holds commands after `$ ` and, under each, what it prints on stdout (and on
stderr where the command says 2>&1). A ```python block is followed by a ```text block with what it
prints. The blocks of a page run in order in one folder, which holds lora-and-full's `rows.json` and
`prompts.jsonl`, the tables in docs/, a link `recipes` to the repository's recipes and, where the real data are at
hand, a link `data` to them; a page that uses `data/` is left out where they aren't. `make demo` and `make test` are not
run from here, nor is a command that ends in `  # recorded DATE …` or a Python block that begins so: it takes minutes,
and what it printed was put there by hand.
A page with `<!-- goes on from ../how-to/check.md -->` runs in the folder that the named page has left, after it.
A command that ends in `  # recorded DATE, differs by processor` is run, since later ones need what it leaves, and has
to end well; what it prints isn't compared: the tiny model is trained on each machine, and its rare words differ.

    python tools/docs.py            # exit 1 where a page says something else
    python tools/docs.py --write    # write down what is printed now
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent
"""Where `tunescope` and `python` are."""
FOLDERS = ("reference", "tutorials", "how-to")
"""Where the pages of verbs are; of two pages of one name the last counts."""
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n?^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
GOES_ON = re.compile(r"^<!-- goes on from (\S+) -->$", re.MULTILINE)
"""Names the page in whose folder a page goes on."""
TABLE = re.compile(r"(<!-- verbs -->\n).*?(<!-- /verbs -->)", re.DOTALL)
DATA = re.compile(r"(?<![\w./-])data/")
"""A path into the real data."""
NOT_RUN = (
    "make demo",
    "make test",
    "make drill",
    "make docs",
    "make bench",
    "git clone",
    "cd tunescope",
    "pip install",
    "python3 -m venv",
)
RECORDED = "  # recorded "
"""What stands behind a command that takes minutes and was recorded once, by hand: when, and what it took."""
DIFFERS = ", differs by processor"
"""Ends a recorded command that is run all the same."""
WIDTH = "100"


class Block(NamedTuple):
    """A fenced block: its kind, its code, what the page says it prints, and where it stands."""

    kind: str
    code: str
    printed: str | None
    start: int
    end: int


def pages() -> list[Path]:
    """Return every page with something to execute."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def chains() -> list[list[Path]]:
    """Return the pages in the order in which they run, those of one folder together: first the one that begins."""
    followers: dict[Path, list[Path]] = defaultdict(list)
    heads = []
    for page in pages():
        before = GOES_ON.search(page.read_text("utf-8"))
        if before is None:
            heads.append(page)
        else:
            followers[(page.parent / before[1]).resolve()].append(page)

    def after(page: Path) -> list[Path]:
        return [page, *(each for follower in sorted(followers[page], key=_place) for each in after(follower))]

    found = [after(head) for head in heads]
    if len(pages()) != sum(map(len, found)):
        lost = {*pages()} - {page for chain in found for page in chain}
        raise SystemExit(f"{', '.join(map(str, sorted(lost)))}: goes on from a page that isn't there")
    return found


def _place(page: Path) -> tuple[int, str]:
    """Definitions go before proofs."""
    return page.parent.name == "proofs", page.name


def page_of(verb: str) -> Path:
    """Return a verb's page: its own, or the one of its group's that types it first."""
    every = {page.stem: page for name in FOLDERS for page in (ROOT / "docs" / name).glob("*.md")}
    own = every.get(verb.replace(" ", "-"))
    group = verb.split()[0]
    of_group = [page for stem, page in sorted(every.items()) if stem == group or stem.startswith(f"{group}-")]
    typed = [page for page in of_group if f"$ tunescope {verb} " in page.read_text("utf-8")]
    return own or (typed or of_group)[0]


def data_folder() -> Path | None:
    """Return the folder of real data, if it is at hand."""
    folder = Path(os.environ.get("TUNESCOPE_TEST_DATA") or ROOT.parent / "shared" / "data")
    return folder.resolve() if folder.is_dir() else None


def blocks(text: str) -> Iterator[Block]:
    """Yield a page's blocks."""
    for match in BLOCK.finditer(text):
        yield Block(match[1], match[2], match[3], match.start(), match.end())


@contextmanager
def prepared_folder() -> Iterator[Path]:
    """Yield a new folder with what pages use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for item in [*(ROOT / "recipes" / "lora-and-full").iterdir(), *(ROOT / "docs").glob("*.csv")]:
            shutil.copy(item, folder)
        data = data_folder()
        if data is not None:
            (folder / "data").symlink_to(data)
        (folder / "recipes").symlink_to(ROOT / "recipes")
        yield folder


def execute(text: str, folder: Path, programs: Path) -> str:
    """Run a page's blocks in a folder; return the page with what they print now.

    `programs` is the folder whose `tunescope` and `python` are run.
    """
    out: list[str] = []
    place = 0
    for block in blocks(text):
        out.append(text[place : block.start])
        if block.kind == "console":
            out.append(_console(block, folder, programs))
        else:
            recorded = block.code.startswith(RECORDED.lstrip())
            out.append(text[block.start : block.end] if recorded else _python(block, folder, programs))
        place = block.end
    return "".join([*out, text[place:]])


def _environment(programs: Path) -> dict[str, str]:
    path = f"{programs}:{PROGRAMS}:{os.environ['PATH']}"  # ours, then accelerate and the like
    return {**os.environ, "PATH": path, "COLUMNS": WIDTH, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}


def _console(block: Block, folder: Path, programs: Path) -> str:
    lines = ["```console"]
    commands = [line[2:] for line in block.code.split("\n") if line.startswith("$ ")]
    kept = block.code.split("\n")
    for command in commands:
        lines.append(f"$ {command}")
        is_kept = command.startswith(NOT_RUN) or RECORDED in command
        printed = ""
        if not is_kept or command.endswith(DIFFERS):
            environment = _environment(programs)
            done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
            if is_kept and done.returncode:
                raise SystemExit(f"a command fails: {command}\n{done.stderr}")
            printed = done.stdout
        if is_kept:
            start = kept.index(f"$ {command}") + 1
            end = next((i for i in range(start, len(kept)) if kept[i].startswith("$ ")), len(kept) - 1)
            lines += kept[start:end]
        else:
            lines += printed.rstrip("\n").split("\n") if printed else []
    return "\n".join([*lines, "```\n"])


def _python(block: Block, folder: Path, programs: Path) -> str:
    command = [programs / "python", "-c", block.code]
    done = subprocess.run(command, cwd=folder, env=_environment(programs), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"a Python block fails:\n{block.code}\n{done.stderr}")
    printed = f"\n```text\n{done.stdout}```\n" if done.stdout else ""
    return f"```python\n{block.code}```\n{printed}"


def verb_table() -> str:
    """Return the tables of verbs, one per question, made from VERBS."""
    sys.path.insert(0, str(ROOT / "src"))
    from tunescope.cli.help import usage
    from tunescope.verbs import QUESTIONS

    lines = ["| verb | what it does |", "|---|---|"]
    for question, verbs in QUESTIONS.items():
        lines.append(f"| **{question}** | |")
        for name, verb in verbs.items():
            page = page_of(name)
            line = usage(name, verb.settings_class()).removeprefix("Usage: tunescope ")
            typed = f"`{line.replace(' [OPTIONS]', '')}`"
            shown = f"[{typed}](../{page.relative_to(ROOT / 'docs')})"
            state = "" if verb.proven else " Inside recipes only ([not yet](not-yet.md))."
            lines.append(f"| {shown} | {verb.summary}{state} |")
    return "\n".join(lines) + "\n"


def render(chain: Sequence[Path], programs: Path = PROGRAMS, look: Callable[[Path], None] | None = None) -> list[str]:
    """Return the pages of a chain as they should be now, up to the first that needs data which aren't here.

    `look` sees the folder before it is removed.
    """
    now = []
    with prepared_folder() as folder:
        for page in chain:
            text = page.read_text("utf-8")
            if any(DATA.search(block.code) for block in blocks(text)) and data_folder() is None:
                break
            written = execute(text, folder, programs)
            now.append(TABLE.sub(lambda match: match[1] + verb_table() + match[2], written))
        if look is not None:
            look(folder)
    return now


def main() -> int:
    """Check or rewrite the pages; of the pages that are named, all that share their folder."""
    write, names = "--write" in sys.argv, [name for name in sys.argv[1:] if name != "--write"]
    if unknown := [name for name in names if name.startswith("-")]:
        print(__doc__ if unknown == ["--help"] else f"{unknown[0]}: expected --write, or pages", file=sys.stderr)
        return 2
    named = {Path(name).resolve() for name in names}
    stale = 0
    for chain in chains():
        if not named or named & {*chain}:
            stale += _compare(chain, write)
    return 1 if stale and not write else 0


def _compare(chain: Sequence[Path], write: bool) -> int:
    """Run a chain and write its pages, or show what is stale; return how many are."""
    stale, rendered = 0, render(chain)
    for page in chain[len(rendered) :]:
        print(f"{page.relative_to(ROOT)}: left out, the real data aren't here")
    for page, now in zip(chain, rendered, strict=False):
        before = page.read_text("utf-8")
        if now == before:
            continue
        stale += 1
        if write:
            page.write_text(now, "utf-8")
            print(f"{page.relative_to(ROOT)}: written")
        else:
            diff = difflib.unified_diff(before.split("\n"), now.split("\n"), "the page", "now", lineterm="")
            print(f"{page.relative_to(ROOT)} is stale; type make docs\n" + "\n".join(diff))
    return stale


if __name__ == "__main__":
    sys.exit(main())
