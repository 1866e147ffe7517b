"""Workers on the machines of a Ray cluster, for studies; they do the same jobs as processes of this machine."""

import contextlib
import os
import queue
from collections.abc import Sequence
from typing import Any

from .cluster import check_room, environment  # before ray: it sets what ray reads when it is imported

import ray  # isort: skip

from zoo.record import installed_versions
from zoo.registry import FAMILIES
from zoo.training.recipe import UsageError

from .study import VERSIONS, code_key
from .workers import Job, carry_out


def versions() -> dict[str, str]:
    """Of the packages and the families' code: what decides, beside the recipe, what a run gives."""
    found = installed_versions()
    code = {f"code of {family}": code_key(family) for family in FAMILIES}
    return {name: found[name] for name in VERSIONS if name in found} | code


class Server:
    """A worker's other half, in a process of some machine. One thread does the job, another hands out what is said.

    Args:
        variables: Of the environment, where the machine has no own.
        place: The folder from which the command was given: relative paths start there.
        threads: Threads that torch computes with.
    """

    def __init__(self, variables: dict[str, str], place: str, threads: int):
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        with contextlib.suppress(OSError):  # a machine that does not share it
            os.chdir(place)
        import torch

        torch.set_num_threads(threads)
        self.said: queue.Queue[tuple[str, Any]] = queue.Queue()

    def versions(self) -> dict[str, str]:
        """See `versions`."""
        return versions()

    def do(self, job: Job) -> None:
        """Do a job, and say ("progress", dict)..., then ("done", "") or ("failed", reason)."""
        self.said.put(carry_out(job, lambda what: self.said.put(("progress", what))))

    def answer(self) -> tuple[str, Any]:
        """What was said next; waits for it."""
        return self.said.get()


class ClusterWorker:
    """An actor of the cluster.

    Args:
        actor: Of a `Server`.
        expected: Versions of this machine.
    """

    def __init__(self, actor: Any, expected: dict[str, str]):
        self.actor, self.expected = actor, expected
        self.found: Any = actor.versions.remote()  # not waited for: all actors import torch at the same time
        self.job: Job | None = None
        self.pending: Any = None

    def start(self, job: Job) -> None:
        """Give it a job.

        Raises:
            UsageError: Its machine has other versions: its figures would stand under the wrong ones.
        """
        if self.found is not None:
            self.check(ray.get(self.found))
            self.found = None
        self.job = job
        self.actor.do.remote(job)
        self.pending = self.actor.answer.remote()

    def check(self, found: dict[str, str]) -> None:
        """Compare the machine's versions with this one's."""
        for name, version in self.expected.items():
            if found.get(name) != version:
                other = found.get(name, "not at all")
                raise UsageError(f"a machine of the cluster has {name} {other}, this one {version}")

    def answer(self) -> tuple[str, Any]:
        """(kind, content) of what it says next; a machine that is gone has failed the job."""
        try:
            answer = ray.get(self.pending)
        except ray.exceptions.RayError as error:
            return "died", f"the worker died: {' '.join(str(error).split())[:200]}"
        if answer[0] == "progress":
            self.pending = self.actor.answer.remote()
        return answer

    def stop(self) -> None:
        """End the actor."""
        ray.kill(self.actor)


class ClusterPool:
    """Workers on a cluster to which this process is connected (`zoo.tuning.cluster.cluster`).

    Args:
        size: At a time; 0: as many as there is room for.
        cpus, gpus: Of each; fractions of a GPU share it.

    Raises:
        UsageError: No machine has room for one.
    """

    def __init__(self, size: int = 0, cpus: float = 1.0, gpus: float = 0.0):
        most = check_room("per_run", cpus, gpus)
        self.size = min(size, most) if size else most
        threads = max(1, int(cpus))
        self.remote: Any = ray.remote(Server).options(num_cpus=cpus, num_gpus=gpus, max_concurrency=2)
        self.arguments = (environment(), os.getcwd(), threads)
        self.versions = versions()

    def new(self) -> ClusterWorker:
        """Another actor."""
        return ClusterWorker(self.remote.remote(*self.arguments), self.versions)

    def ready(self, workers: Sequence[ClusterWorker]) -> list[ClusterWorker]:
        """Waits for these."""
        heard, _ = ray.wait([worker.pending for worker in workers])
        return [worker for worker in workers if worker.pending in heard]


__all__ = ["ClusterPool"]
