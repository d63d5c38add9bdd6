"""Join a Ray cluster, or start one for the run on this machine and end it with it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from magic_megatron.config.rl import RayConfig
from recipes.command import InputError

START_ATTEMPTS = 4
CPUS_PER_GPU = 3  # verl's RayResourcePool.max_colocate_count
REGISTER_TIMEOUT_S = 600
"""A worker that imports torch on a busy machine, or from a network's file system, takes longer than Ray's 60 s."""


@contextmanager
def ray_cluster(
    settings: RayConfig, nodes: int, gpus_per_node: int, runtime_env: dict[str, Any]
) -> Iterator[None]:
    """Connected to Ray for the time of the ``with`` block.

    Args:
        nodes, gpus_per_node: that the run needs. A cluster started here offers as many GPUs, logical ones in
            rehearsal.

    Raises:
        InputError: no cluster at the address, or one with fewer GPUs, or CPUs beside them.
    """
    num_gpus = nodes * gpus_per_node
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    try:
        if settings.address:
            _join(settings.address, runtime_env)
        else:
            _start(settings, num_gpus, runtime_env)
        offered = int(ray.cluster_resources().get("GPU", 0))
        if offered < num_gpus:
            raise InputError(
                f"ray.address={settings.address}: the cluster has {offered} GPUs and the run wants {num_gpus}"
                " (nodes · gpus_per_node); start more workers, or lower nodes or gpus_per_node"
            )
        _check_cpus(nodes, gpus_per_node)
        yield
    finally:
        ray.shutdown()


def _start(settings: RayConfig, num_gpus: int, runtime_env: dict[str, Any]) -> None:
    """Ray gives a node 30 s to start, which a busy machine may exceed."""
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(
                address="local",  # without it Ray joins whatever cluster was last started on this machine
                num_cpus=settings.num_cpus,
                num_gpus=num_gpus,
                object_store_memory=settings.object_store_bytes,
                include_dashboard=False,
                _system_config={"worker_register_timeout_seconds": REGISTER_TIMEOUT_S},
                log_to_driver=settings.log_to_driver,
                runtime_env=runtime_env,
                logging_level=logging.WARNING,
            )
        except Exception as error:
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise
            ray.shutdown()
            print("Ray didn't start in time, once more", file=sys.stderr)
        else:
            return


def _check_cpus(nodes: int, gpus_per_node: int) -> None:
    """verl reserves GPUs with CPUs, those of a node together, and waits for them without end."""
    offered = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {"GPU": gpus_per_node, "CPU": CPUS_PER_GPU * gpus_per_node}
    room = sum(min(int(node.get(kind, 0) // number) for kind, number in wanted.items()) for node in offered)
    if room < nodes:
        shown = ", ".join(f"{node.get('GPU', 0):g} GPUs and {node.get('CPU', 0):g} CPUs" for node in offered)
        raise InputError(
            f"gpus_per_node={gpus_per_node}: verl takes {CPUS_PER_GPU} of Ray's CPUs with each GPU, {wanted['CPU']} on"
            f" each of {nodes} nodes, and the cluster's have {shown}; raise ray.num_cpus, or NUM_CPUS of launch/rl.sh"
        )


def log_folder() -> Path:
    """Where Ray's processes of this session write their logs, on each node."""
    node = ray._private.worker._global_node
    assert node is not None, "Ray is connected"
    return Path(node.get_logs_dir_path())


def _join(address: str, runtime_env: dict[str, Any]) -> None:
    try:
        ray.init(address=address, runtime_env=runtime_env, logging_level=logging.WARNING)
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"ray.address={address}: {str(error).splitlines()[0]}; start a head with launch/rl.sh, or leave"
            " ray.address=null to start Ray here"
        ) from None


def wait_for_nodes(address: str, number: int, timeout_s: float) -> None:
    """Until the cluster at ``address`` has ``number`` nodes.

    Raises:
        InputError: it hasn't after ``timeout_s`` seconds.
    """
    deadline = time.monotonic() + timeout_s
    seen = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError):  # the head is starting
            ray.init(address=address, logging_level=logging.ERROR)
            try:
                while time.monotonic() < deadline:
                    seen = sum(node["Alive"] for node in ray.nodes())
                    if seen >= number:
                        return
                    time.sleep(1)
            finally:
                ray.shutdown()
        time.sleep(1)
    raise InputError(
        f"NUM_NODES={number}: {seen} nodes joined {address} within {timeout_s:g} s; start launch/rl.sh on every"
        " node, or raise JOIN_TIMEOUT"
    )


if __name__ == "__main__":
    try:
        wait_for_nodes(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
