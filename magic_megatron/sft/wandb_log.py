"""Weights & Biases beside TensorBoard: offline in ``output_dir/wandb`` unless told otherwise, one W&B run per folder.

It looks on: where it doesn't start, or dies on the way, training says so once and goes on without it.
"""

from __future__ import annotations

import dataclasses
import netrc
import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from magic_megatron.config.sft import SftConfig
from recipes.command import InputError


def check_wandb(mode: str) -> None:
    """Online needs an account's key before the run starts: nothing may ask for one later.

    Raises:
        InputError: there is none.
    """
    if mode != "online" or any(
        os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    ):
        return
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not file.is_file() or netrc.netrc(file).authenticators(host) is None:
        raise InputError(
            f"logging.wandb=online: neither WANDB_API_KEY nor {file} has a key for {host}; run `wandb login` here,"
            " or use logging.wandb=offline and `wandb sync` later"
        )


class WandbLog:
    """One W&B run. A resumed run goes on under the id in ``output_dir/wandb/run_id``.

    ``WANDB_MODE=disabled`` in the environment switches it off, whatever the recipe says. Neither code, git remotes nor
    the console's text are collected.
    """

    def __init__(self, config: SftConfig) -> None:
        self._run: Any = None
        if config.logging.wandb == "disabled" or os.environ.get("WANDB_MODE") == "disabled":
            return
        try:
            self._run = _start(config)
        except Exception as error:  # an onlooker must not end a run
            self._give_up(error)

    def log(self, values: dict[str, Any], step: int) -> None:
        if self._run is None:
            return
        try:
            self._run.log(values, step=step)
        except Exception as error:  # as above
            self._give_up(error)

    def close(self) -> None:
        if self._run is None:
            return
        try:
            self._run.finish()
        except Exception as error:  # as above
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._run = None
        lines = str(error).splitlines() or [repr(error)]
        print(
            f"W&B: {lines[0]}; training goes on without it, metrics.jsonl and TensorBoard have everything"
            " (logging.wandb=disabled leaves it out)",
            file=sys.stderr,
        )


def _start(config: SftConfig) -> Any:
    import wandb  # takes seconds

    output_dir = Path(config.output_dir)
    return wandb.init(
        project=config.logging.wandb_project,
        name=output_dir.resolve().name,
        id=_run_id(output_dir / "wandb" / "run_id"),
        resume="allow",
        mode=config.logging.wandb,
        dir=str(output_dir),
        config=dataclasses.asdict(config),
        settings=wandb.Settings(
            console="off", silent=True, disable_git=True, disable_code=True, init_timeout=60
        ),
    )


def _run_id(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.write_text(secrets.token_hex(4))
        partial.replace(file)
    return file.read_text().strip()
