"""Redirections inside Megatron-Core, where sending ``torch.cuda`` elsewhere isn't enough."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import warnings
from collections.abc import Callable
from multiprocessing.managers import SyncManager
from typing import Any

import torch

from magic_megatron.platform.redirection import current, redirection, replace
from magic_megatron.platform.supervisor import die_with_parent

VERSIONS = ">=0.18,<0.20"


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="jit.py",
    replaces=("torch.compile",),
    until="Megatron-Core reads a setting before it decorates",
)
def no_compilation() -> None:
    """Every import decorates functions with ``torch.compile``: four seconds of CPU time in each process."""
    compiler = torch.compile
    torch.compile = _as_it_is  # type: ignore[assignment]
    try:
        import megatron.core
        import megatron.core.models.gpt
        import megatron.core.optimizer  # noqa: F401
    finally:
        torch.compile = compiler
    from megatron.core.jit import disable_jit_fuser

    disable_jit_fuser()


# What upstream says of itself and of a machine without CUDA: a user can change none of it.
UNHELPFUL_WARNINGS = (
    ".*Apex (are|is) not installed",
    "The .grad attribute of a Tensor that is not a leaf Tensor",
    r"`torch\.distributed\.(reduce_scatter|all_gather_into)_tensor` is deprecated",
    "Please use DTensor instead",
    "full scope is deprecated",
    "MimoModelConfig is experimental",
    "torch.distributed is disabled, unavailable or uninitialized, assuming",
    "The argument order of load has been changed",
    "invalid escape sequence",
)


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/optimizer.py, transformer/transformer_config.py, tensor_parallel/mappings.py",
    replaces=(),
    until="Megatron-Core runs on torch 2.13 without warnings",
)
def unhelpful_warnings() -> None:
    """Each rank warns of absent kernels and of torch functions that upstream should have left behind."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    for message in UNHELPFUL_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def _as_it_is(function: Callable[..., Any] | None = None, **kwargs: Any) -> Callable[..., Any]:
    return function if function is not None else lambda decorated: decorated


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="tensor_parallel/random.py",
    replaces=("megatron.core.tensor_parallel.random._set_cuda_rng_state",),
    until="Megatron-Core sets random states through torch's public functions",
)
def random_state_setter() -> None:
    """States are set through ``torch.cuda.default_generators``, which has no entry without a device."""
    replace(
        "megatron.core.tensor_parallel.random._set_cuda_rng_state",
        lambda new_state, device=-1, graph_safe=False: torch.set_rng_state(new_state),
    )


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="transformer/moe/moe_utils.py, transformer/moe/token_dispatcher.py",
    replaces=(
        "megatron.core.transformer.moe.moe_utils.maybe_move_tensor_to_cpu",
        "megatron.core.transformer.moe.token_dispatcher.maybe_move_tensor_to_cpu",
    ),
    until="maybe_move_tensor_to_cpu honours as_numpy for a tensor that is on the CPU already",
)
def split_sizes_as_numpy() -> None:
    """The all-to-all wants its split sizes in numpy, but only tensors on a GPU are turned into it."""

    def move(tensor: Any, as_numpy: bool = False, record_stream: bool = False) -> Any:
        return tensor.numpy() if as_numpy and torch.is_tensor(tensor) else tensor

    for name in split_sizes_as_numpy.replaces:
        replace(name, move)


QUEUE = "megatron.core.dist_checkpointing.strategies.filesystem_async.get_write_results_queue"


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="dist_checkpointing/strategies/filesystem_async.py",
    replaces=(QUEUE,),
    until="saving needs no process of its own for the results, or the start method is a setting",
)
def checkpoint_results_queue() -> None:
    """Saving spawns a helper, as CUDA forbids a fork: it imports everything again, ten seconds a rank."""
    replace(QUEUE, _forked_queue)


@functools.cache
def _forked_queue(mp_mode: str = "fork") -> Any:
    """A queue between processes. Its server dies with this one, lest it hold a dead rank's sockets."""
    manager = SyncManager(ctx=multiprocessing.get_context("fork"))
    manager.start(die_with_parent, (os.getpid(),))
    return manager.Queue()


OPTIMIZER = "megatron.core.optimizer.distrib_optimizer.DistributedOptimizer"


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/distrib_optimizer.py",
    replaces=(f"{OPTIMIZER}.state_dict",),
    until="DistributedOptimizer.state_dict allows torch's AdamW before its first step",
)
def optimizer_state_before_first_step() -> None:
    """With torch's AdamW, saving and loading assert that a step was taken: make the state of step 0."""
    state_dict = current(f"{OPTIMIZER}.state_dict")

    def with_state(optimizer: Any) -> dict[str, Any]:
        if not optimizer.optimizer.state:
            _initialise_state(optimizer)
        return state_dict(optimizer)

    replace(f"{OPTIMIZER}.state_dict", with_state)


def _initialise_state(optimizer: Any) -> None:
    """Upstream's dummy step makes the state; at a learning rate of 0 it leaves the weights bit for bit."""
    groups = optimizer.optimizer.param_groups
    rates = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 0.0
    optimizer._init_optimizer_states_with_dummy_values()
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
    for state in optimizer.optimizer.state.values():
        state["step"].zero_()


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/distrib_optimizer.py",
    replaces=(f"{OPTIMIZER}._set_main_param_and_optimizer_states",),
    until="the loaders of DistributedOptimizer tolerate torch AdamW's own step tensors",
)
def optimizer_step_on_load() -> None:
    """Loading drops ``step`` from each parameter's tensors and then looks it up: KeyError."""
    upstream = current(f"{OPTIMIZER}._set_main_param_and_optimizer_states")

    def keeping_step(optimizer: Any, model_param: Any, tensors: dict[str, Any]) -> None:
        group, order = optimizer.model_param_group_index_map[model_param]
        state = optimizer.optimizer.state[optimizer.optimizer.param_groups[group]["params"][order]]
        upstream(optimizer, model_param, {"step": state.get("step"), **tensors})

    replace(f"{OPTIMIZER}._set_main_param_and_optimizer_states", keeping_step)


@redirection(
    package="megatron-core",
    versions=VERSIONS,
    upstream="optimizer/distrib_optimizer.py",
    replaces=(f"{OPTIMIZER}.load_state_dict",),
    until="DistributedOptimizer.load_state_dict gives each parameter its own step tensor",
)
def optimizer_step_tensors() -> None:
    """After loading, all parameters share one ``step`` tensor: an AdamW step counts once for each."""
    load_state_dict = current(f"{OPTIMIZER}.load_state_dict")

    def unshared(optimizer: Any, state_dict: dict[str, Any]) -> None:
        load_state_dict(optimizer, state_dict)
        for state in optimizer.optimizer.state.values():
            if "step" in state:
                state["step"] = state["step"].clone()

    replace(f"{OPTIMIZER}.load_state_dict", unshared)


REDIRECTIONS = (
    unhelpful_warnings,
    no_compilation,
    random_state_setter,
    split_sizes_as_numpy,
    checkpoint_results_queue,
    optimizer_state_before_first_step,
    optimizer_step_on_load,
    optimizer_step_tensors,
)
