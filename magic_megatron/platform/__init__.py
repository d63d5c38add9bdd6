"""What differs between a machine with CUDA and one without; nothing else in the project asks.

``rehearsal`` runs the real engines on the CPU: the same code, configs and process groups, gloo in place of
NCCL, and a table of redirections where an engine insists on CUDA. ``cuda`` changes nothing.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

import torch

from recipes.command import InputError


@dataclass(frozen=True)
class Platform:
    """Where tensors live and how processes talk.

    Attributes:
        name: ``rehearsal`` or ``cuda``.
        backend: of ``torch.distributed``, ``gloo`` or ``nccl``.
        has_fused_kernels: Megatron-Core may use grouped GEMM and fused operators.
    """

    name: str
    backend: str
    has_fused_kernels: bool


PLATFORMS = {
    "rehearsal": Platform(name="rehearsal", backend="gloo", has_fused_kernels=False),
    "cuda": Platform(name="cuda", backend="nccl", has_fused_kernels=True),
}


def detect() -> str:
    """``cuda`` where torch finds a CUDA device, else ``rehearsal``."""
    return "cuda" if torch.cuda.is_available() else "rehearsal"


def activate(name: str) -> Platform:
    """Make this process ready for the platform; call it before the first import of megatron.

    Safe to call again. On ``cuda`` it only checks that a device is there.

    Raises:
        InputError: an unknown platform, ``cuda`` without a device, or ``rehearsal`` with a version of
            megatron-core that the redirections don't know.
    """
    if name not in PLATFORMS:
        raise InputError(f"platform={name}: no such platform; choose {' or '.join(PLATFORMS)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("platform=cuda: torch finds no CUDA device on this machine; use platform=rehearsal")
    if name == "rehearsal":
        from magic_megatron.platform import gloo, megatron_core, redirection, torch_cuda

        redirection.install(gloo.REDIRECTIONS + torch_cuda.REDIRECTIONS + megatron_core.REDIRECTIONS)
    return PLATFORMS[name]


def peak_memory(name: str) -> int:
    """Bytes: the most that tensors took of this process's GPU so far; in rehearsal its largest resident set."""
    if name == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
