"""All misbehaviours, and a server's behaviour made of one of them, or of all at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tunescope.oracle.hostile.beside import BESIDE
from tunescope.oracle.hostile.bodies import BODIES
from tunescope.oracle.hostile.honest import honest_text
from tunescope.oracle.hostile.misbehaviour import Asked, Misbehaviour
from tunescope.oracle.hostile.replies import REPLIES
from tunescope.oracle.hostile.server import Said, completion
from tunescope.oracle.hostile.statuses import STATUSES

MISBEHAVIOURS: tuple[Misbehaviour, ...] = (*STATUSES, *BODIES, *REPLIES, *BESIDE)
ONE = "Question 2"
"""What a prompt holds that is about the one row which `when` "one" speaks of."""
Behaviour = Callable[[dict[str, Any], int], Said]


class Misbehaving:
    """A server's behaviour that has one misbehaviour; give it to `serving`."""

    def __init__(self, misbehaviour: Misbehaviour, key: str = "") -> None:
        """Take what is to be done, and the key that calls are made with."""
        self._misbehaviour, self._key, self._number = misbehaviour, key, 0

    def __call__(self, body: dict[str, Any], call: int) -> Said:
        """Answer a call, badly where the misbehaviour says so."""
        self._number += 1
        asked = Asked(body, honest_text(body), self._number, self._key)
        when = self._misbehaviour.when
        is_meant = when == "always" or (call == 1 if when == "first" else ONE in str(body["messages"][-1]["content"]))
        return self._misbehaviour.says(asked) if is_meant else Said(completion(asked.text))


class AtRandom:
    """A behaviour that has some misbehaviours at random: which one a call meets depends on its prompt and the seed."""

    def __init__(self, misbehaviours: Sequence[Misbehaviour], seed: int = 0, key: str = "") -> None:
        """Take those that replies may have; those of `when` "first" are only met at a prompt's first call."""
        self._misbehaviours, self._seed, self._key = misbehaviours, seed, key

    def __call__(self, body: dict[str, Any], call: int) -> Said:
        """Answer a call: a third of them badly."""
        prompt = str(body["messages"][-1]["content"])
        rng = Random(f"{self._seed} {prompt}")
        asked = Asked(body, honest_text(body), call, self._key)
        drawn = rng.choice(self._misbehaviours)
        if rng.random() < 1 / 3 and (call == 1 or drawn.when != "first"):
            return drawn.says(asked)
        return Said(completion(asked.text))
