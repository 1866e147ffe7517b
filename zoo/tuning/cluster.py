"""A Ray cluster: of this machine alone, or one that runs already."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

# Before ray is imported: no statistics are sent, and workers keep this process's niceness and view of the GPUs.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_worker_niceness", "0")

import ray  # noqa: E402

from zoo.training.recipe import UsageError  # noqa: E402

# Variables that workers on other machines need.
ENVIRONMENT = ("ZOO_DATA", "HF_HUB_OFFLINE", "HF_HOME")


@contextlib.contextmanager
def cluster(address: str | None, cpus: int | None = None) -> Iterator[dict[str, float]]:
    """Within it, this process is connected to a cluster of its own on this machine, or to the one at the address.

    Raises:
        UsageError: Nothing answers at the address.
        RuntimeError: Ray does not start here.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": cpus}
    try:
        knock(address)
        ray.init(address=address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        if address is None:
            raise RuntimeError(f"Ray does not start on this machine: {why}") from None
        raise UsageError(f"--address {address}: no Ray cluster answers there: {why}") from None
    try:
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def knock(address: str | None) -> None:
    """Ray itself asks an address where nothing answers for minutes.

    Raises:
        OSError: Nothing listens at this host and port.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def check_room(suffix: str, cpus: float, gpus: float) -> int:
    """How many workers have room on the cluster's machines at a time.

    Args:
        suffix: What the names of the two settings end in: "per_trial" or "per_run".
        cpus, gpus: Of one worker.

    Raises:
        UsageError: Not one has room on any machine; it would wait for ever.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needs = {name: need for name, need in (("CPU", cpus), ("GPU", gpus)) if need}
    for name, need in needs.items():
        most = max((machine.get(name, 0.0) for machine in machines), default=0.0)
        if need > most:
            total = sum(machine.get(name, 0.0) for machine in machines)
            raise UsageError(
                f"{name.lower()}s_{suffix}={need:g}, but no machine of the cluster has more than {most:g} "
                f"({total:g} in all)"
            )
    fit = sum(min(int(machine.get(name, 0.0) / need + 1e-9) for name, need in needs.items()) for machine in machines)
    if not fit:
        raise UsageError(f"no machine of the cluster has room for cpus_{suffix}={cpus:g} and gpus_{suffix}={gpus:g}")
    return fit


def environment() -> dict[str, str]:
    """What this process has of the variables that workers need."""
    return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


__all__ = ["check_room", "cluster", "environment"]
