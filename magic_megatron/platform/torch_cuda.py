"""Redirections of ``torch.cuda`` and of the device "cuda" to the CPU, for Megatron-Core's many uses of them.

The substitutes are functions of their own, even where ``torch.cpu`` has one: torch's compiler tells functions
apart by identity, and refuses to start when it meets one under two names.

Everything here goes when Megatron-Core asks a device interface instead of ``torch.cuda``; upstream says there
is no CPU path, see NVIDIA/Megatron-LM.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._device import _device_constructors

from magic_megatron.platform.redirection import current, redirection, replace

VERSIONS = ">=0.18,<0.20"
UNTIL = "Megatron-Core takes its device from an interface, not from torch.cuda"
FACTORIES = (
    *("arange", "as_tensor", "empty", "empty_like", "eye", "full", "ones", "ones_like"),
    *("rand", "randint", "randn", "tensor", "zeros", "zeros_like"),
)


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="tensor_parallel/mappings.py, pipeline_parallel/p2p_communication.py and most others",
    replaces=("torch.cuda.current_device", "torch.cuda.set_device", "torch.cuda.synchronize"),
    until=UNTIL,
)
def current_device() -> None:
    """Buffers are made on the current device, and checkpoints synchronise it: both initialise CUDA."""
    replace("torch.cuda.current_device", lambda: torch.device("cpu"))
    replace("torch.cuda.set_device", lambda device: None)
    replace("torch.cuda.synchronize", lambda device=None: None)


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="distributed/param_and_grad_buffer.py, transformer/moe/token_dispatcher.py",
    replaces=(
        *("torch.cuda.Stream", "torch.cuda.Event", "torch.cuda.stream", "torch.cuda.current_stream"),
        *("torch.cuda.default_stream", "torch.Tensor.record_stream"),
    ),
    until=UNTIL,
)
def streams() -> None:
    """Gradients and the experts' token counts travel on side streams; the CPU works in order anyway."""
    replace("torch.cuda.Stream", _Stream)
    replace("torch.cuda.Event", _Event)
    replace("torch.cuda.stream", lambda stream: torch.cpu.stream(stream))
    replace("torch.cuda.current_stream", lambda device=None: torch.cpu.current_stream())
    replace("torch.cuda.default_stream", lambda device=None: torch.cpu.current_stream())
    replace("torch.Tensor.record_stream", lambda tensor, stream: None)


class _Stream(torch.cpu.Stream):
    """``torch.cpu.Stream`` with the arguments and the rest of the methods of ``torch.cuda.Stream``."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        super().__init__(priority)

    def record_event(self, event: Any = None) -> Any:
        return event or _Event()

    def synchronize(self) -> None:
        torch.cpu.synchronize()


class _Event(torch.cpu.Event):
    """``torch.cpu.Event`` with the arguments of ``torch.cuda.Event``."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, **kwargs: Any) -> None:
        super().__init__()


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="tensor_parallel/random.py",
    replaces=(
        *("torch.cuda.manual_seed", "torch.cuda.get_rng_state", "torch.cuda.set_rng_state"),
        "torch.cuda.random.get_rng_state",
    ),
    until=UNTIL,
)
def random_state() -> None:
    """The tracker of random states, which recomputation forks, keeps CUDA's: here the CPU's is it."""
    replace("torch.cuda.manual_seed", lambda seed: torch.default_generator.manual_seed(int(seed)))
    replace("torch.cuda.get_rng_state", lambda device="cuda": torch.get_rng_state())
    replace("torch.cuda.random.get_rng_state", lambda device="cuda": torch.get_rng_state())
    replace("torch.cuda.set_rng_state", lambda new_state, device="cuda": torch.set_rng_state(new_state))


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/clip_grads.py, pipeline_parallel/schedules.py, dist_checkpointing/exchange_utils.py",
    replaces=tuple(f"torch.{name}" for name in FACTORIES),
    until=UNTIL,
)
def factories() -> None:
    """Scalars and buffers are made with the literal ``device="cuda"``, and pinned."""
    # `with torch.device(…)` knows factories by identity, from a set that torch fills at first use. Filled
    # after the replacement it would miss the originals: from_pretrained's meta device would not reach them,
    # and transformers would silently load wrong weights.
    _device_constructors()
    for name in FACTORIES:
        replace(f"torch.{name}", _on_cpu(current(f"torch.{name}")))


def _on_cpu(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> torch.Tensor:
        if "device" in kwargs and _is_cuda(kwargs["device"]):
            kwargs["device"] = "cpu"
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        return factory(*args, **kwargs)

    return make


def _is_cuda(device: Any) -> bool:
    if isinstance(device, torch.device):
        return device.type == "cuda"
    return isinstance(device, str) and device.startswith("cuda")


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="tensor_parallel/data.py, optimizer/distrib_optimizer.py, dist_checkpointing/exchange_utils.py",
    replaces=("torch.Tensor.cuda", "torch.Tensor.to", "torch.Tensor.pin_memory"),
    until=UNTIL,
)
def moves() -> None:
    """Tensors are moved with ``.cuda()`` and ``.to("cuda")``, and pinned for copies: here they stay."""
    to = current("torch.Tensor.to")

    def stay(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if args and _is_cuda(args[0]):
            args = ("cpu", *args[1:])
        if "device" in kwargs and _is_cuda(kwargs["device"]):
            kwargs["device"] = "cpu"
        return to(tensor, *args, **kwargs)

    replace("torch.Tensor.to", stay)
    replace("torch.Tensor.cuda", lambda tensor, *args, **kwargs: tensor)
    replace("torch.Tensor.pin_memory", lambda tensor, *args, **kwargs: tensor)


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/distrib_optimizer.py, optimizer/optimizer.py, optimizer/clip_grads.py",
    replaces=("torch.Tensor.type",),
    until="Megatron-Core's optimizers compare dtypes, not the names of CUDA tensor types",
)
def optimizer_tensor_types() -> None:
    """The optimizers sort parameters by ``type() == "torch.cuda.FloatTensor"`` and reject others."""
    type_of = current("torch.Tensor.type")

    def type_name(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        answer = type_of(tensor, *args, **kwargs)
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if isinstance(answer, str) and caller.startswith("megatron.core.optimizer"):
            return answer.replace("torch.", "torch.cuda.", 1)
        return answer

    replace("torch.Tensor.type", type_name)


REDIRECTIONS = (current_device, streams, random_state, factories, moves, optimizer_tensor_types)
