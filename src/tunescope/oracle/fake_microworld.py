"""`fake:microworld:80%`: a fake oracle that grades rows of the microworld, and is right about 80 % of them.

It knows what is true in that world. A response that states a true fact gets the grade 1, one that states a false fact
gets 0; in the rows about which it is wrong, the other way round. Which rows these are is drawn by the prompt, which
holds the row, and a seed. It refuses every prompt that states no fact of its world, so it grades nothing by accident.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Any

from tunescope.errors import RejectedRequest, SettingsError
from tunescope.oracle.api import RawReply
from tunescope.oracle.fake import FAKE_PREFIX, fake_reply

if TYPE_CHECKING:
    from tunescope.microworld.world import World

_NAME = re.compile(rf"{FAKE_PREFIX}microworld(?::(\d+))?:(\d+(?:\.\d+)?)%")
_BEGINNING = f"{FAKE_PREFIX}microworld:"


class MicroworldFake:
    """Grades rows of a world, and is wrong about a share of them, which is drawn by prompt and seed."""

    max_concurrency: int | None = None

    def __init__(self, world_seed: int, share_right: float, seed: int) -> None:
        """Know the world of `world_seed`, and be right with the probability `share_right` about each row."""
        self._world_seed = world_seed
        self._share_right = share_right
        self._seed = seed

    @property
    def name(self) -> str:
        """What stands where a model's name does: that it is a fake, and which."""
        return f"fake:microworld:{self._world_seed}, right about {self._share_right:.4g} of rows (seed {self._seed})"

    @cached_property
    def _world(self) -> World:
        from tunescope.microworld.world import make_world

        return make_world(self._world_seed)

    async def __aenter__(self) -> MicroworldFake:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing."""

    async def send(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> RawReply:
        """Grade the last message's row; raises `RejectedRequest` where it doesn't state one fact of the world."""
        from tunescope.microworld.world import stated_facts

        prompt = str(messages[-1]["content"])
        stated = stated_facts(self._world, prompt)
        if len(stated) != 1:
            raise RejectedRequest(
                f"the fake oracle grades rows that state one fact of microworld {self._world_seed}; found {len(stated)}"
            )
        (fact,) = stated
        is_true = fact.value == self._world.truth(fact.person, fact.attribute)
        is_right = Random(f"{self._seed}/{prompt}").random() < self._share_right
        return fake_reply(prompt, f"Score: {int(is_true == is_right)}\nThis is {self.name}.", "stop")

    async def is_answering(self) -> bool:
        """Tell that it is there."""
        return True


def microworld_fake(oracle: str, seed: int) -> MicroworldFake | None:
    """Return the fake oracle of a microworld that `oracle` names; None where it names something else.

    Raises:
        SettingsError: it names one, but no share from 0% to 100%.
    """
    match = _NAME.fullmatch(oracle)
    if match is not None and float(match[2]) <= 100:
        return MicroworldFake(int(match[1] or 0), float(match[2]) / 100, seed)
    if oracle.startswith(_BEGINNING):
        raise SettingsError(
            f"--oracle {oracle}: expected the share of rows that the fake is right about, from 0% to 100%, such as "
            f"{_BEGINNING}80% (of the world 3: {_BEGINNING}3:80%)"
        )
    return None
