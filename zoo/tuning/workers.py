"""Processes that run one training after the other: torch and transformers are imported once in each."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol


@dataclass
class Job:
    """One call of `zoo train` or `zoo evaluate`.

    Args:
        name: What the terminal calls it.
        kind: `train` or `evaluate`.
        argv: The command's arguments.
        log: File that gets what it prints.
    """

    name: str
    kind: str
    argv: list[str]
    log: Path


@contextmanager
def printing_to(path: Path) -> Iterator[None]:
    """Within it, everything that this process and its libraries print goes to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with open(path, "ab") as file:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            os.close(kept[0])
            os.close(kept[1])


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone: nobody would read what it finds, and its files may be written anew."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def perform(job: Job, report: Callable[[dict[str, Any]], None]) -> None:
    """Do a job in this process."""
    from zoo.training.command_line import parse_run
    from zoo.training.evaluate import evaluate
    from zoo.training.run import run

    from .progress import ReportCallback

    if job.kind == "evaluate":
        evaluate(job.argv)
        return
    run(parse_run(job.argv), job.argv, [ReportCallback(report)])


def carry_out(job: Job, report: Callable[[dict[str, Any]], None]) -> tuple[str, str]:
    """Do a job in this process, its prints going to its log: ("done", "") or ("failed", why)."""
    from .progress import reason

    with printing_to(job.log):
        try:
            perform(job, report)
        except Exception as error:
            traceback.print_exc()
            return "failed", reason(error)
    return "done", ""


def serve(connection: Connection, parent: int, threads: int) -> None:
    """The life of a worker: take a job, answer ("progress", dict)..., then ("done", "") or ("failed", reason)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    end_with_parent(parent)
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(carry_out(job, lambda what: connection.send(("progress", what))))


class Worker(Protocol):
    """What does one job after the other; `job` is what it does now."""

    job: Job | None

    def start(self, job: Job) -> None:
        """Give it a job."""

    def answer(self) -> tuple[str, Any]:
        """(kind, content) of what it says next: "progress", "done", "failed", or "died" of itself."""

    def stop(self) -> None:
        """End it."""


class Pool(Protocol):
    """Where workers live: on this machine (`LocalPool`) or on a cluster (`zoo.tuning.cluster_workers`)."""

    size: int

    def new(self) -> Any:
        """Another worker."""

    def ready(self, workers: Sequence[Any]) -> list[Any]:
        """Waits until one of these has something to say, and returns all that have."""


class LocalWorker:
    """A process of this machine.

    Args:
        threads: Threads that torch computes with.
    """

    def __init__(self, threads: int):
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, os.getpid(), threads))
        self.process.start()
        other.close()
        self.job: Job | None = None

    def start(self, job: Job) -> None:
        """Give it a job."""
        self.job = job
        self.connection.send(job)

    def answer(self) -> tuple[str, Any]:
        """(kind, content) of what it says next; a process that died, of a lack of memory say, has failed."""
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
            return "died", f"the process ended {how}" + (": was memory short?" if code == -signal.SIGKILL else "")

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


class LocalPool:
    """Processes of this machine, which share its cores.

    Args:
        size: At a time; 0: one a core.
    """

    def __init__(self, size: int = 0):
        self.size = size or room()
        self.threads = max(1, room() // self.size)

    def new(self) -> LocalWorker:
        """Another process."""
        return LocalWorker(self.threads)

    def ready(self, workers: Sequence[LocalWorker]) -> list[LocalWorker]:
        """Waits for these."""
        heard = wait([worker.connection for worker in workers])
        return [worker for worker in workers if worker.connection in heard]


def room() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def work_off(jobs: list[Job], pool: Pool, tell: Callable[[Job, str, Any], None], go_on: Callable[[], bool]) -> None:
    """Do all jobs, as many at a time as the pool has workers.

    Args:
        jobs: In the order in which they start.
        pool: Of workers.
        tell: Gets (job, "start" | "progress" | "done" | "failed", what is known).
        go_on: Asked before each start: whether another job may begin.
    """
    waiting: list[Job] = list(jobs)
    workers: list[Worker] = []
    try:
        for _ in range(min(pool.size, len(jobs))):
            workers.append(pool.new())
        for worker in workers:
            _next(worker, waiting, tell, go_on)
        while busy := [worker for worker in workers if worker.job is not None]:
            for worker in pool.ready(busy):
                kind, content = worker.answer()
                assert worker.job is not None
                tell(worker.job, "failed" if kind == "died" else kind, content)
                if kind == "progress":
                    continue
                worker.job = None
                if kind == "died":
                    workers.remove(worker)
                    worker.stop()
                    if not (waiting and go_on()):
                        continue
                    worker = pool.new()
                    workers.append(worker)
                _next(worker, waiting, tell, go_on)
    finally:
        for worker in workers:
            worker.stop()


def _next(
    worker: Worker, waiting: list[Job], tell: Callable[[Job, str, Any], None], go_on: Callable[[], bool]
) -> None:
    """Give a worker the next job, if there is one and time for it."""
    if waiting and go_on():
        job = waiting.pop(0)
        tell(job, "start", None)
        worker.start(job)


__all__ = ["Job", "LocalPool", "LocalWorker", "Pool", "Worker", "carry_out", "perform", "room", "work_off"]
