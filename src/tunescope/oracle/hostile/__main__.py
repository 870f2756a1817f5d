"""`python -m tunescope.oracle.hostile [NAME [PORT]]`: lists the misbehaviours, or serves one until Ctrl-C.

NAME is a misbehaviour's name, `random` for a third of the calls met by any of them, or `honest` for none.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from tunescope.oracle.hostile.honest import honest_text
from tunescope.oracle.hostile.server import Said, completion, serving
from tunescope.oracle.hostile.statuses import PAGES
from tunescope.oracle.hostile.table import MISBEHAVIOURS, AtRandom, Behaviour, Misbehaving
from tunescope.progress import say


def main(arguments: list[str]) -> int:
    """List or serve; return the exit code."""
    if not arguments:
        for each in MISBEHAVIOURS:
            sys.stdout.write(f"{each.name}: {each.sends} ({each.source})\n")
        return 0
    name, *port = arguments
    behave = _behaviour(name)
    if behave is None or len(port) > 1 or not all(each.isdigit() for each in port):
        say(f"found {' '.join(arguments)}; expected NAME, or NAME PORT; without a name, all names are listed")
        return 2
    with serving(behave, int(port[0]) if port else 0, pages=PAGES) as server, suppress(KeyboardInterrupt):
        say(f"{name}: {server.url} (model tiny) until Ctrl-C")
        while True:
            time.sleep(3600)
    return 0


def _behaviour(name: str) -> Behaviour | None:
    """Return the behaviour of a name; None for an unknown one."""
    if name == "honest":
        return lambda body, call: Said(completion(honest_text(body)))
    if name == "random":
        return AtRandom(MISBEHAVIOURS)
    return next((Misbehaving(each) for each in MISBEHAVIOURS if each.name == name), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
