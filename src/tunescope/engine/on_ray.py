"""Shards on a Ray cluster (docs/scale.md). No other file imports Ray.

Each worker is an actor: a process on some machine of the cluster, which sets itself up at its first shard and then
takes one shard after the other. Ray tells when one dies. Its shard starts whole in the place of another worker.
"""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from tunescope import __version__
from tunescope.engine.shard import Todo, Work, finish
from tunescope.errors import MissingPackageError, SettingsError, WorkError
from tunescope.progress import Waiting, say

_Item = tuple[Any, Path]
"""A shard, and where its result goes."""
_MOST_DEATHS = 3
"""Workers that are replaced after they died at the same shard, or before their first."""
_PATIENCE = 5.0
"""Seconds in which an address has to answer."""
_NODE_PATIENCE = 60.0
"""Seconds in which each machine has to say whether it sees the run folder: a first process there takes some."""
_LOOK_AGAIN = 10.0
"""Seconds after which we say that no worker is there yet."""
_PASSED_ON = ("HF_HOME", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "TUNESCOPE_CACHE", "TUNESCOPE_RUNS")
"""Variables that workers have as this process does."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC, which Ray speaks, begins: HTTP/2's preface and empty settings (RFC 9113, 3.4 and 6.5)."""
_NEXT = "docs/scale.md says how to start a cluster; without --engine the work is done on this machine"


class _Place(NamedTuple):
    """Where the command was typed, and a file in the run folder that a worker must see from there."""

    folder: str
    environment: Mapping[str, str]
    marker: Path
    version: str

    def enter(self) -> None:
        """Go there.

        Raises:
            SettingsError: this machine has another tunescope, or doesn't see the run folder.
        """
        machine = f"the machine {socket.gethostname()} of the Ray cluster"
        if self.version != __version__:
            raise SettingsError(f"{machine} has tunescope {__version__}, this one {self.version}; install the same")
        os.environ.update(self.environment)
        with suppress(OSError):
            os.chdir(self.folder)
            if self.marker.exists():
                return
        raise SettingsError(
            f"{machine} doesn't see {self.marker.parent} in {self.folder}; type the command in a folder that all "
            "machines of the cluster share under the same path"
        )


class _Worker:
    """A process of the cluster."""

    def __init__(self, setup: Callable[[], Any]) -> None:
        self._setup: Callable[[], Any] | None = setup
        self._state: Any = None

    def enter(self, place: _Place) -> str:
        """Be ready to work."""
        place.enter()
        return ""

    def work(self, work: Work, shard: Any, target: Path) -> str:
        """Do one shard, the first time with what it needs; return what was said meanwhile."""
        with redirect_stderr(StringIO()) as said:
            if self._setup is not None:
                self._state, self._setup = self._setup(), None
            finish(work, self._state, shard, target)
        return said.getvalue()


class _Team:
    """The workers, and what each is at."""

    def __init__(self, ray: Any, setup: Callable[[], Any], place: _Place) -> None:
        self._ray, self._setup, self._place = ray, setup, place
        needs = {"num_cpus": int(os.environ.get("OMP_NUM_THREADS", "1"))}
        if ray.cluster_resources().get("GPU"):
            needs["num_gpus"] = 1
        self._kind = ray.remote(_Worker).options(**needs)
        self._at_work: dict[Any, tuple[Any, _Item | None]] = {}
        self._deaths = Counter[Path | None]()
        self._told = set[str]()
        self._waiting = Waiting()

    def hire(self) -> None:
        """Ask for one more worker, which comes as soon as the cluster has room."""
        worker = self._kind.remote(self._setup)
        self._at_work[worker.enter.remote(self._place)] = (worker, None)

    def give(self, worker: Any, work: Work, item: _Item) -> None:
        """Give a worker a shard."""
        self._at_work[worker.work.remote(work, *item)] = (worker, item)

    def next_free(self) -> tuple[Any | None, _Item | None]:
        """Wait for a worker that has come, or has done its shard; return both.

        Returns None in place of a worker that died, and the shard that it was at.
        """
        while not (kept := self._ray.wait([*self._at_work], timeout=_LOOK_AGAIN)[0]):
            if not any(item for _, item in self._at_work.values()):
                self._waiting.note("no worker has come from the Ray cluster yet", _LOOK_AGAIN)
        self._waiting.end()
        worker, item = self._at_work.pop(kept[0])
        try:
            lines = self._ray.get(kept[0]).splitlines()
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            self._count_death(item, error)
            return None, item
        for line in dict.fromkeys(lines):
            if line not in self._told:  # each worker says the same of its model
                say(line)
        self._told.update(lines)
        return worker, item

    def _count_death(self, item: _Item | None, error: Exception) -> None:
        target = None if item is None else item[1]
        place = "before its first shard" if target is None else f"at shard {target.name}"
        self._deaths[target] += 1
        if self._deaths[target] > _MOST_DEATHS:
            raise WorkError(
                f"{_MOST_DEATHS + 1} Ray workers died {place} (out of memory?); what is finished stays; type the same "
                "command with fewer --workers, or on machines with more memory, to go on"
            ) from error
        say(f"a Ray worker died {place}; another takes its place")

    def dismiss(self, worker: Any) -> None:
        """Let a worker go: its place may be what another waits for."""
        self._ray.kill(worker)

    def dismiss_all(self) -> None:
        """Let all go."""
        for worker, _ in self._at_work.values():
            self._ray.kill(worker)


def map_on_ray(
    address: str, workers: int, work: Work, todo: Todo, setup: Callable[[], Any], folder: Path
) -> Generator[None]:
    """Do the work on a cluster, up to `workers` shards at a time; yield after each shard.

    A worker takes as many CPUs as OMP_NUM_THREADS says, else one, and one GPU where the cluster has any.

    Args:
        address: HOST:PORT of the cluster's head, or `auto` for the one that this machine is part of.
        workers: processes at a time; fewer where the cluster has no room.
        work: a function of a module that the cluster's machines have too.
        todo: shards, and where their results go.
        setup: as `work`.
        folder: the shards' folder, which all machines see.

    Raises:
        SettingsError: no cluster answers, or one of its machines can't take part.
        WorkError: several workers died at one shard.
        MissingPackageError: Ray isn't installed.
    """
    with _connected(address) as ray, _marked(folder) as place:
        _ask_machines(ray, place)
        team, waiting, n_open = _Team(ray, setup, place), deque(todo), len(todo)
        try:
            for _ in range(min(workers, n_open)):
                team.hire()
            while n_open:
                worker, item = team.next_free()
                if item is not None and (worker is not None or item[1].name in os.listdir(folder)):
                    n_open -= 1
                    yield
                elif item is not None:
                    waiting.appendleft(item)
                if worker is not None and waiting:
                    team.give(worker, work, waiting.popleft())
                elif worker is not None:
                    team.dismiss(worker)
                elif waiting:
                    team.hire()
        finally:
            team.dismiss_all()
        os.listdir(folder)  # where it is on NFS, this machine knows the new folders from now on


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Yield Ray, in a cluster; a notebook that has joined one by itself stays in it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of a change of its own to come
    try:
        import ray
    except ImportError:
        raise MissingPackageError("ray", "ray", "--engine ray") from None
    if ray.is_initialized():
        yield ray
        return
    _join(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, address: str) -> None:
    """Join a cluster. Ray itself would try for minutes where nothing answers, or this machine is no part of it.

    Raises:
        SettingsError: it can't be joined.
    """
    from ray._private import services as theirs

    services: Any = theirs

    if address == "auto":
        try:
            address = str(services.canonicalize_bootstrap_address("auto"))
        except ConnectionError:
            raise SettingsError(f"--engine ray: this machine is part of no Ray cluster; {_NEXT}") from None
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PATIENCE) as connection:
            connection.sendall(_GREETING)
            answered = connection.recv(4)[3:] == b"\x04"
    except (OSError, OverflowError) as error:
        raise SettingsError(f"--engine ray://{address}: nothing answers there ({error}); {_NEXT}") from None
    if not answered:
        raise SettingsError(
            f"--engine ray://{address}: what answers there is no Ray cluster; expected the address that ray start "
            f"--head prints; {_NEXT}"
        )
    if not services.find_node_ids():
        raise SettingsError(
            f"--engine ray://{address}: this machine is no part of the cluster; type ray start --address={address}"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except (OSError, RuntimeError, ray.exceptions.RayError) as error:
        said = str(error).strip().splitlines()[0]
        raise SettingsError(f"--engine ray://{address}: Ray can't join ({said}); {_NEXT}") from None


@contextmanager
def _marked(folder: Path) -> Iterator[_Place]:
    """Yield this place, with a file in the run folder to look for."""
    marker = folder / f".seen-{os.urandom(4).hex()}"
    marker.touch()
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        yield _Place(os.getcwd(), environment, marker, __version__)
    finally:
        marker.unlink(missing_ok=True)


def _ask_machines(ray: Any, place: _Place) -> None:
    """Ask each machine whether it can take part, before anything is computed.

    Raises:
        SettingsError: one can't, or doesn't say.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(_Place.enter)
    machines = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    answers = [
        ask.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(place)
        for node in machines
    ]
    for machine, answer in zip(machines.values(), answers, strict=True):
        try:
            ray.get(answer, timeout=_NODE_PATIENCE)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, SettingsError):
                raise cause from None
            said = str(cause or error).strip().splitlines()[-1]
            raise SettingsError(f"the machine {machine} of the Ray cluster can't take part: {said}") from None
