"""Gloo's process groups in a rehearsal, of which a rank of the paper's layout has forty."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from magic_megatron.platform.redirection import redirection, replace


@redirection(
    package="torch",
    versions=">=2.11,<2.14",
    upstream="distributed/distributed_c10d.py",
    replaces=("torch.distributed.distributed_c10d.ProcessGroupGloo",),
    until="torch shares gloo's devices among process groups",
)
def one_device() -> None:
    """Each group has a device of its own, whose thread wakes up a hundred times a second; all share one here."""
    replace("torch.distributed.distributed_c10d.ProcessGroupGloo", SharedDeviceGloo)


class SharedDeviceGloo(dist.ProcessGroupGloo):
    """A process group on the process's one device."""

    def __init__(self, store: dist.Store, rank: int, size: int, timeout: timedelta) -> None:
        chosen = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined]
        chosen._timeout = timeout
        chosen._devices = [_device()]
        super().__init__(store, rank, size, chosen)


@functools.cache
def _device() -> Any:
    return dist.ProcessGroupGloo.create_default_device()


REDIRECTIONS = (one_device,)
