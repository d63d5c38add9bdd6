"""Everything about a run that can be checked, and is written, before Ray starts."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import OmegaConf

from magic_megatron.config.layout import model_misfits
from magic_megatron.config.record import write_recipe
from magic_megatron.config.rl import RlConfig, check_values
from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.models.huggingface_config import model_config
from magic_megatron.rl.dataset import ParquetRows, PromptOrder, Sampling
from magic_megatron.rl.env_rows import write_env_rows
from magic_megatron.rl.prompts import encode_prompt, template_kwargs
from magic_megatron.rl.replay_rows import write_replay_rows
from magic_megatron.rl.rewards import check_ground_truth
from magic_megatron.rl.run_folder import newest_checkpoint
from magic_megatron.rl.schedule import prompt_order
from magic_megatron.rl.segments import mark
from recipes.command import InputError, make_folder, typed

_COLUMNS = {"prompt", "reward_model", "extra_info", "data_source"}


@dataclass(frozen=True)
class RunPlan:
    """A run that can start.

    ``orders`` has the order files of ``train`` and ``validation``; ``resume_from`` a whole checkpoint.
    """

    config: RlConfig
    orders: dict[str, Path]
    resume_from: Path | None


def plan_run(config: RlConfig) -> RunPlan:
    """Check values, policy, layout, prompts and ground truths, and write which prompts are asked when.

    Raises:
        InputError: naming key, value and fix.
    """
    check_values(config)
    folder = Path(config.output_dir)
    make_folder("output_dir", folder)
    tokenizer = check_policy(config)
    check_layout(config)
    resume_from = newest_checkpoint(folder / "checkpoints")
    if resume_from is not None and config.resume == "never":
        raise InputError(
            f"resume=never: {folder} has the checkpoint {resume_from.name}; choose another output_dir, or resume=auto"
        )
    orders = _plan_rows(config, tokenizer, folder)
    write_recipe(config)
    return RunPlan(config, orders, resume_from)


def check_policy(config: RlConfig) -> Any:
    """The policy's tokenizer, when the two fit each other.

    Raises:
        InputError: no model there, or a tokenizer that isn't its own.
    """
    from transformers import AutoTokenizer

    path = Path(config.model.path)
    if not (path / "config.json").is_file():
        raise InputError(
            f"model.path={path}: no config.json there; give a folder in Hugging Face format, such as the target of"
            " `python -m magic_megatron.convert direction=to_hf`"
        )
    model = json.loads((path / "config.json").read_text())
    if not (path / "tokenizer.json").is_file():
        raise InputError(
            f"model.path={path}: no tokenizer.json there; copy the tokenizer of the SFT run into it"
        )
    for key in ("vocab_size", "max_position_embeddings"):
        if not isinstance(model.get(key), int):
            raise InputError(
                f"model.path={path}: config.json has no {key}; give the folder of a causal language model"
            )
    tokenizer = AutoTokenizer.from_pretrained(str(path))
    mark(tokenizer.encode("Step 1: à la carte"), tokenizer)  # thoughts and actions are told by bytes
    ends = model.get("eos_token_id")
    if ends is not None and tokenizer.eos_token_id not in (ends if isinstance(ends, list) else [ends]):
        raise InputError(
            f"model.path={path}: the tokenizer ends texts with token {tokenizer.eos_token_id} and the model with"
            f" {ends}; it belongs to another model"
        )
    if len(tokenizer) > model["vocab_size"]:
        raise InputError(
            f"model.path={path}: the tokenizer has {len(tokenizer)} tokens and the model {model['vocab_size']}; it"
            " belongs to another model"
        )
    if tokenizer.chat_template is None:
        raise InputError(f"model.path={path}: the tokenizer has no chat template; copy that of the SFT run")
    longest = config.data.max_prompt_length + config.data.max_response_length
    if longest > model["max_position_embeddings"]:
        raise InputError(
            f"data.max_prompt_length={config.data.max_prompt_length}: with"
            f" data.max_response_length={config.data.max_response_length} beyond the policy's"
            f" {model['max_position_embeddings']} positions; lower one"
        )
    return tokenizer


def check_layout(config: RlConfig) -> None:
    """Whether the engine's layout divides the run's GPUs, and Megatron's the policy, and a sample fits a batch.

    Raises:
        InputError: it doesn't.
    """
    parallel, world = config.engine.parallel, config.nodes * config.gpus_per_node
    sides = {("tp", "pp", "cp"): "model", ("etp", "ep", "pp"): "experts"}
    for keys, part in sides.items():
        sizes = [getattr(parallel, key) for key in keys]
        if min(sizes) < 1 or world % math.prod(sizes):
            given = " ".join(f"engine.parallel.{key}={size}" for key, size in zip(keys, sizes, strict=True))
            raise InputError(
                f"{given}: a replica of the {part} takes their product, which must divide the run's {world} GPUs"
                " (nodes · gpus_per_node); lower one of them, or raise gpus_per_node"
            )
    longest = config.data.max_prompt_length + config.data.max_response_length
    for key in ("max_tokens", "max_log_prob_tokens") if config.engine.dynamic_batch else ():
        room = getattr(config.engine, key) * parallel.cp
        if room < longest:
            raise InputError(
                f"engine.{key}={getattr(config.engine, key)}: with engine.parallel.cp={parallel.cp} less than the"
                f" {longest} tokens of a longest prompt and answer; raise it to {-(-longest // parallel.cp)}"
            )
    if config.engine.name == "megatron":
        folder = Path(config.model.path)
        model = model_config(json.loads((folder / "config.json").read_text()), folder.name)
        packs = 2 * parallel.cp * parallel.tp  # of whatever length: the engine pads them
        for misfit in model_misfits(parallel, model, sequence_length=packs):
            raise InputError(str(misfit).replace("parallel.", "engine.parallel."))


def _plan_rows(config: RlConfig, tokenizer: Any, folder: Path) -> dict[str, Path]:
    make_folder("output_dir", folder / "data")
    paths = {name: folder / "data" / f"{name}.json" for name in ("train", "validation")}
    if config.env.get("name"):
        env = typed(EnvConfig, OmegaConf.create(config.env))
        if not (config.validation.interval or config.validation.before):
            env = dataclasses.replace(env, validation_splits=[])
        files = write_env_rows(env, folder / "data")
        data = dataclasses.replace(
            config.data, train=files["train"], validation=files["validation"], tasks=None
        )
        config = dataclasses.replace(config, data=data)
    if config.train_only:
        file = write_replay_rows(config, folder / "data")
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, train=[file], tasks=None))
        places = np.arange(config.train.num_steps * config.train.batch_size)
    else:
        train = Prompts("data.train", config.data.train, config, tokenizer)
        places = train.choose(lambda tasks: _training_order(tasks, config))
    PromptOrder(config.data.train, "train.npy", ["train"]).write(paths["train"], places)
    if config.data.validation:
        held_out = Prompts("data.validation", config.data.validation, config, tokenizer)
        places = held_out.choose(lambda tasks: _first_of_each(tasks, config.validation.num_prompts))
        sampled: list[Sampling] = ["sampled"]
        blocks: list[Sampling] = ["greedy", *sampled * config.validation.num_samples]
        PromptOrder(config.data.validation, "validation.npy", blocks).write(paths["validation"], places)
    elif config.validation.interval or config.validation.before:
        raise InputError(
            "data.validation=[]: nothing to validate on; give parquet files of held-out rows, or"
            " validation.interval=0 validation.before=false"
        )
    else:  # verl opens its validation set in any case
        PromptOrder(config.data.train, "validation.npy", ["greedy"]).write(paths["validation"], places[:1])
    return paths


class Prompts:
    """The rows of the files that ``key`` names, and which of them can be asked.

    Raises:
        InputError: no files, no rows, or rows of another kind.
    """

    def __init__(self, key: str, files: Sequence[str], config: RlConfig, tokenizer: Any) -> None:
        self.key, self.config, self.tokenizer = key, config, tokenizer
        self.rows = _open(key, files)
        self.tasks = [extra["task"] for extra in self.rows.column("extra_info.task")]
        for task in config.data.tasks or ():
            if task not in self.tasks:
                known = ", ".join(sorted(set(self.tasks)))
                raise InputError(f"data.tasks={task}: no row of {key} has it; choose of {known}")
        self._lengths: dict[int, int] = {}

    def choose(self, order: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
        """Numbers of rows as ``order`` arranges those that can be asked; only rows that are asked are looked at.

        Args:
            order: from the tasks of rows to the chosen of these rows, as they are asked.

        Raises:
            InputError: a chosen row has no ground truth, or is too long and ``data.overlong=error``.
        """
        wanted = self.config.data.tasks
        usable = [place for place, task in enumerate(self.tasks) if wanted is None or task in wanted]
        dropped: Counter[str] = Counter()
        while usable:
            chosen = np.asarray(usable)[order([self.tasks[place] for place in usable])]
            overlong = {place for place in np.unique(chosen).tolist() if self._is_overlong(place)}
            if not overlong:
                for task, count in sorted(dropped.items()):
                    limit = self.config.data.max_prompt_length
                    print(f"{self.key}: {count} rows of {task} left out, longer than {limit} tokens")
                return chosen
            dropped.update(self.tasks[place] for place in overlong)
            usable = [place for place in usable if place not in overlong]
        raise InputError(
            f"{self.key}: no row is left; raise data.max_prompt_length={self.config.data.max_prompt_length}"
        )

    def _is_overlong(self, place: int) -> bool:
        limit = self.config.data.max_prompt_length
        if place not in self._lengths:
            self._lengths[place] = self._check(place)
        if self._lengths[place] > limit and self.config.data.overlong == "error":
            raise InputError(
                f"{self._name(place)}: {self._lengths[place]} tokens, more than data.max_prompt_length={limit};"
                " raise it, or data.overlong=drop"
            )
        return self._lengths[place] > limit

    def _check(self, place: int) -> int:
        """The length of a row's prompt in tokens, when its ground truth is what the task's reward needs."""
        row = self.rows[place]
        if row.get("agent_name") == "environment":
            return 0  # its prompts are made as it is played
        truth = (row["reward_model"] or {}).get("ground_truth")
        check_ground_truth(self.tasks[place], truth, self._name(place))
        tools = json.loads(row["extra_info"].get("tools") or "[]")
        arguments = template_kwargs(self.config.data.chat_template_kwargs, row["extra_info"])
        return len(encode_prompt(self.tokenizer, row["prompt"], tools, arguments))

    def _name(self, place: int) -> str:
        return f"{self.key}: row {self.rows[place]['extra_info'].get('id') or place}"


def _training_order(tasks: Sequence[str], config: RlConfig) -> np.ndarray:
    train = config.train
    return prompt_order(tasks, config.schedule, train.num_steps, train.batch_size, train.seed)


def _first_of_each(tasks: Sequence[str], number: int) -> np.ndarray:
    """The first ``number`` rows of each task, int64."""
    seen: Counter[str] = Counter()
    chosen = []
    for place, task in enumerate(tasks):
        seen[task] += 1
        if seen[task] <= number:
            chosen.append(place)
    return np.array(chosen, dtype=np.int64)


def _open(key: str, files: Sequence[str]) -> ParquetRows:
    if not files:
        raise InputError(f"{key}=[]: no files; give what `python -m data_synth.export format=parquet` wrote")
    for file in files:
        if not Path(file).is_file():
            raise InputError(f"{key}={file}: no such file; see `python -m data_synth.export format=parquet`")
    try:
        rows = ParquetRows(files)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{key}={','.join(files)}: not parquet files ({str(error).splitlines()[0]}); give what"
            " `python -m data_synth.export format=parquet` wrote"
        ) from None
    if not len(rows):
        raise InputError(f"{key}={','.join(files)}: no rows in it")
    if missing := _COLUMNS - set(rows[0]):
        raise InputError(
            f"{key}={files[0]}: no column {sorted(missing)[0]}; write it with `python -m data_synth.export"
            " format=parquet`"
        )
    return rows
