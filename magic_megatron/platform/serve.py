"""Serve a model with vLLM's OpenAI server for as long as a command runs.

    python -m magic_megatron.platform.serve --model DIR --name NAME --log FILE -- COMMAND … {base_url} …

Starts the server on a free port, waits until it is healthy, runs COMMAND with ``{base_url}`` replaced, ends the
server with all its processes in every case, and returns COMMAND's status.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx
from tqdm import tqdm

from magic_megatron import platform
from magic_megatron.platform import supervisor
from recipes.command import InputError

HOST = "127.0.0.1"
LOG_TAIL_LINES = 30
POLL_S = 0.25
# vLLM starts with less and fails at the first request (vllm/v1/attention/backends/cpu_attn.py).
LEAST_HEAD_DIM = 32
# vLLM on the CPU. VERL_PLATFORM is absent: verl's plug-in gives up kernels that serving alone can use.
REHEARSAL_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "TORCHDYNAMO_DISABLE": "1",
    # Lets the worker live in the engine's process.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


@dataclass(frozen=True)
class ServeOptions:
    """What ``--help`` lists. ``port=0`` takes a free one, ``dtype=None`` the platform's."""

    model: Path
    name: str
    log: Path
    platform: str
    port: int
    max_model_len: int | None
    dtype: str | None
    max_num_seqs: int
    timeout_s: float
    extra: tuple[str, ...]


class ServerError(RuntimeError):
    """The server ended, or never became healthy. The message has the tail of its log and what to try."""


@contextmanager
def serving(options: ServeOptions) -> Iterator[str]:
    """A healthy server for the time of the ``with`` block, which gets its base URL.

    Raises:
        InputError: no model there, a taken port, or a platform that this machine hasn't.
        ServerError: it ended or wasn't healthy in time.
    """
    port = _check(options)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    with options.log.open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            _supervised(server_command(options, port)),
            env=server_environment(options.platform),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(server, f"http://{HOST}:{port}/health", options)
        yield f"http://{HOST}:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def server_command(options: ServeOptions, port: int) -> list[str]:
    """vLLM's server; in rehearsal without compilation, and in float32 as the model was trained."""
    rehearsal = options.platform == "rehearsal"
    dtype = options.dtype or ("float32" if rehearsal else "auto")
    module = "magic_megatron.platform.vllm_server" if rehearsal else "vllm.entrypoints.openai.api_server"
    command = [sys.executable, "-m", module]
    command += ["--model", str(options.model), "--served-model-name", options.name]
    command += ["--host", HOST, "--port", str(port), "--dtype", dtype]
    command += ["--max-num-seqs", str(options.max_num_seqs)]
    if options.max_model_len is not None:
        command += ["--max-model-len", str(options.max_model_len)]
    if rehearsal:
        command += ["--enforce-eager", "--distributed-executor-backend", "uni"]
    return command + list(options.extra)


def server_environment(name: str) -> dict[str, str]:
    """This process's environment with what vLLM needs on the platform."""
    environment = os.environ | OFFLINE_ENVIRONMENT
    if name == "rehearsal":
        environment |= REHEARSAL_ENVIRONMENT
        environment.pop("VERL_PLATFORM", None)
    return environment


def _check(options: ServeOptions) -> int:
    """The port to use, when everything that can be checked beforehand is in order."""
    if not (options.model / "config.json").is_file():
        raise InputError(
            f"--model={options.model}: no config.json there; give a folder in Hugging Face format, such as the"
            " target of `python -m magic_megatron.convert direction=to_hf`"
        )
    if options.platform not in platform.PLATFORMS:
        raise InputError(f"--platform={options.platform}: choose {' or '.join(platform.PLATFORMS)}")
    if options.platform == "cuda":
        platform.activate("cuda")
    head_dim = json.loads((options.model / "config.json").read_text()).get("head_dim")
    if options.platform == "rehearsal" and head_dim is not None and head_dim < LEAST_HEAD_DIM:
        raise InputError(
            f"--model={options.model}: head_dim={head_dim}, vLLM's attention on the CPU needs"
            f" {LEAST_HEAD_DIM} or more; train with model.head_dim={LEAST_HEAD_DIM}"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, options.port))
        except OSError as error:
            raise InputError(
                f"--port={options.port}: {error.strerror}; use --port 0 for a free one"
            ) from None
        return int(probe.getsockname()[1])


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str, options: ServeOptions) -> None:
    start = time.monotonic()
    with tqdm(
        total=options.timeout_s,
        desc=f"vLLM loads {options.name}",
        unit="s",
        bar_format="{desc}: {n:.0f} s of at most {total:.0f} s {bar}",
        mininterval=1.0 if sys.stderr.isatty() else 5.0,
    ) as progress:
        while (waited := time.monotonic() - start) < options.timeout_s:
            if server.poll() is not None:
                raise ServerError(_explain(f"the server ended with status {server.returncode}", options))
            if _is_healthy(url):
                progress.set_description_str(f"vLLM serves {options.name}")
                return
            progress.update(waited - progress.n)
            time.sleep(POLL_S)
    raise ServerError(
        _explain(f"the server wasn't healthy after {options.timeout_s:.0f} s (--timeout)", options)
    )


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _explain(problem: str, options: ServeOptions) -> str:
    tail = options.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return (
        f"{problem}. The end of its log:\n  "
        + "\n  ".join(tail)
        + f"\nThe whole log is {options.log}. Too little memory or time: lower --max-model-len and"
        " --max-num-seqs, or raise --timeout. A wrong model: check config.json and the tokenizer in"
        f" {options.model}."
    )


def run_command(command: list[str], base_url: str) -> int:
    """Run the command with ``{base_url}`` replaced; its status, 128 + the signal's number where one ended it."""
    process = subprocess.Popen(_supervised([part.replace("{base_url}", base_url) for part in command]))
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def _supervised(command: list[str]) -> list[str]:
    return [sys.executable, supervisor.__file__, str(os.getpid()), *command]


def parse_arguments(arguments: list[str]) -> tuple[ServeOptions, list[str]]:
    """Options before ``--``, the command after it."""
    parser = argparse.ArgumentParser(
        prog="python -m magic_megatron.platform.serve",
        description="Serve a model with vLLM while COMMAND runs; {base_url} in it becomes the server's.",
        usage="%(prog)s --model DIR --name NAME --log FILE [options] -- COMMAND …",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add: Callable[..., argparse.Action] = parser.add_argument
    add("--model", type=Path, required=True, help="folder in Hugging Face format")
    add("--name", required=True, help="model name that requests use")
    add("--log", type=Path, required=True, help="file for the server's output")
    add("--platform", default=platform.detect(), help="rehearsal or cuda")
    add("--port", type=int, default=0, help="0 takes a free one")
    add("--max-model-len", type=int, help="longest prompt and answer in tokens; the model's own if not given")
    add("--dtype", help="of weights and activations; float32 in rehearsal, the model's own on cuda")
    add("--max-num-seqs", type=int, default=64, help="requests computed together")
    add("--timeout", type=float, default=600.0, help="seconds until the server must be healthy")
    add("--extra", default="", help="further options of vLLM's server, as one string")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    values = parser.parse_args(arguments[:split])
    command = arguments[split + 1 :]
    if not command:
        parser.error("no COMMAND; give it after --")
    options = ServeOptions(
        model=values.model,
        name=values.name,
        log=values.log,
        platform=values.platform,
        port=values.port,
        max_model_len=values.max_model_len,
        dtype=values.dtype,
        max_num_seqs=values.max_num_seqs,
        timeout_s=values.timeout,
        extra=tuple(shlex.split(values.extra)),
    )
    return options, command


def _exit_on(signal_number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)


def main(arguments: list[str]) -> int:
    options, command = parse_arguments(arguments)
    signal.signal(signal.SIGTERM, _exit_on)
    try:
        with serving(options) as base_url:
            return run_command(command, base_url)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
