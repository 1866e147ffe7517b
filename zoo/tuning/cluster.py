"""The Ray cluster that trains: one of this machine alone, or one that runs already."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from zoo.training.recipe import UsageError

from .fingerprint import versions_and_code

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    if (error.name or "").partition(".")[0] != "ray":
        raise
    raise UsageError('searches and studies need Ray: pip install "primer-zoo[tune]"') from None


@contextlib.contextmanager
def cluster(address: str | None, cpus: int | None = None) -> Iterator[dict[str, float]]:
    """Within it, this process is connected to a cluster of its own on this machine, or to the one at the address.

    Args:
        address: `host:port`, `ray://host:port` or `auto`; None starts a cluster here.
        cpus: CPUs of a cluster here; None: all that there are.

    Raises:
        UsageError: Nothing answers at the address, or its machines have other versions.
        RuntimeError: Ray does not start here.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": cpus}
    try:
        check_port(address)
        print("starting Ray on this machine" if address is None else f"connecting to Ray at {address}", flush=True)
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises bare ones, for example where a machine is too slow to start it
        why = " ".join(str(error).split())
        if address is None:
            raise RuntimeError(
                f"Ray does not start on this machine: {why.rstrip('.')}; if the machine is busy, try again later"
            ) from None
        raise UsageError(f"--address {address}: no Ray cluster answers there: {why}") from None
    try:
        if address is not None:
            check_machines(versions_and_code())
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def check_port(address: str | None) -> None:
    """Connect to the address, where Ray itself would try for minutes.

    Raises:
        OSError: Nothing listens at this host and port.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def check_machines(expected: dict[str, str]) -> None:
    """Compare versions and code of the cluster's other machines with this one's.

    Raises:
        UsageError: A machine has others, so that its results could not be compared.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    remote: Any = ray.remote(versions_and_code)
    answers = [
        remote.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in others
    ]
    for versions in ray.get(answers):
        for name, version in expected.items():
            if versions.get(name) != version:
                other = versions.get(name, "not at all")
                raise UsageError(f"a machine of the cluster has {name} {other}, this one {version}")


def check_room(suffix: str, cpus: float, gpus: float) -> int:
    """How many trials the cluster's machines have room for at a time.

    Args:
        suffix: End of the names of the two settings: "per_trial" or "per_run".
        cpus, gpus: Resources of one trial.

    Raises:
        UsageError: No machine has room for one, so that it would wait for ever.
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


__all__ = ["check_room", "cluster"]
