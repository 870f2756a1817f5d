"""Build the site from docs/ into .site/site, and check that it needs nothing from outside.

    .venv/bin/python tools/site/build.py ZENSICAL

ZENSICAL is the program that builds it. A link from a page to a file outside docs/ leads to a page that shows the file.
Exits 1 on any warning of ZENSICAL's, on a page that loads something from outside, and on a page without its place in
the navigation.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
STAGE = ROOT / ".site"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".csv": "text", ".toml": "toml"}
LARGEST = 40_000
"""Characters of a file that are shown."""
NOT_SEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"
"""Begins a page that the search leaves out."""
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)


def stage() -> None:
    """Copy docs/ to .site/docs, and every file outside that its pages link to, as pages under repository/."""
    folder = STAGE / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    (folder / "assets").mkdir()
    for name in ("iframe-worker.js", "iframe-worker.LICENSE", "extra.css"):
        shutil.copy(HERE / name, folder / "assets")
    shutil.copy(HERE / "zensical.toml", STAGE)
    todo = [(ROOT / "docs" / page.relative_to(folder), page) for page in folder.rglob("*.md")]
    shown: set[Path] = set()
    for source, page in todo:  # grows
        text, outside = relink(source, page.relative_to(folder))
        page.write_text(text if source.is_relative_to(ROOT / "docs") else NOT_SEARCHED + text, "utf-8")
        for target in sorted(outside - shown):
            shown.add(target)
            copy = folder / place(target)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".md":
                todo.append((target, copy))
            else:
                copy.write_text(NOT_SEARCHED + shown_file(target), "utf-8")


def place(source: Path) -> Path:
    """Return where a file of the repository is in the site: pages in their places, others under repository/."""
    inside = source.relative_to(ROOT)
    if inside.parts[0] == "docs":
        return Path(*inside.parts[1:])
    return Path("repository", inside) if source.suffix == ".md" else Path("repository", f"{inside}.md")


def relink(source: Path, page: Path) -> tuple[str, set[Path]]:
    """Return a page's text with the links of the site, and the files outside docs/ that it links to."""
    outside: set[Path] = set()

    def new(match: re.Match[str]) -> str:
        if re.match(r"\w+:", match[2]):
            return match[0]
        target = (source.parent / match[2]).resolve()
        if target.is_dir() or not target.is_relative_to(ROOT):
            return match[0]
        if target.relative_to(ROOT).parts[0] != "docs":
            outside.add(target)
        return match[1] + os.path.relpath(place(target), page.parent) + match[3]

    parts = FENCE.split(source.read_text("utf-8"))
    text = "".join(part if number % 2 else LINK.sub(new, part) for number, part in enumerate(parts))
    if source.name == "README.md":
        text = re.sub(r'src="docs/', f'src="{os.path.relpath(".", page.parent)}/', text)
    return text, outside


def shown_file(source: Path) -> str:
    """Return a page that shows a file."""
    text = source.read_text("utf-8")
    cut = "" if len(text) <= LARGEST else f"The first {LARGEST:,} of {len(text):,} characters.\n\n"
    language = LANGUAGES.get(source.suffix, "text")
    return f"# {source.relative_to(ROOT)}\n\n{cut}````{language}\n{text[:LARGEST].rstrip()}\n````\n"


class Loads(HTMLParser):
    """What a page loads: the addresses of its scripts, styles, pictures and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads; a link that a reader clicks loads nothing."""
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") not in ("canonical", "alternate", "prev", "next"):
            self.addresses.append(given.get("href", ""))
        self.addresses += [given[name] for name in ("src", "srcset", "poster", "data") if name in given]


def loaded_from_outside(site: Path) -> Iterator[str]:
    """Yield what the site's pages and styles load from elsewhere."""
    for page in sorted(site.rglob("*.html")):
        loads = Loads()
        loads.feed(page.read_text("utf-8"))
        yield from (f"{page.relative_to(site)}: {each}" for each in loads.addresses if re.match(r"(\w+:)?//", each))
    for style in sorted(site.rglob("*.css")):
        for each in re.findall(r"url\(\s*['\"]?((?:https?:)?//[^)'\"]*)", style.read_text("utf-8")):
            yield f"{style.relative_to(site)}: {each}"


def not_in_navigation() -> list[str]:
    """Return the pages of docs/ that the navigation doesn't have, or has twice."""
    listed = re.findall(r'"([\w./-]+\.md)"', (HERE / "zensical.toml").read_text("utf-8"))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    return sorted((pages ^ {*listed}) | {page for page in listed if listed.count(page) > 1})


def main() -> int:
    """Build, and say what is wrong."""
    if lost := not_in_navigation():
        print(f"tools/site/zensical.toml has not once: {', '.join(lost)}", file=sys.stderr)
        return 1
    stage()
    done = subprocess.run(
        [Path(sys.argv[1]).absolute(), "build", "--strict", "--clean"], cwd=STAGE, capture_output=True, text=True
    )
    talk = done.stdout + done.stderr
    if done.returncode or "Warning" in talk:
        print(talk, file=sys.stderr)
        return 1
    if outside := [*loaded_from_outside(STAGE / "site")]:
        print("loaded from outside:", *outside, sep="\n", file=sys.stderr)
        return 1
    print(f"{len([*(STAGE / 'site').rglob('*.html')])} pages: {STAGE / 'site' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
