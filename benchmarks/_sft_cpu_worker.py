"""One side of ``sft_cpu.py``: a training run that waits after each step until its standard input says on.

python benchmarks/_sft_cpu_worker.py '{"side": "ours", …}'
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any, TextIO

Settings = dict[str, Any]


class Pace:
    """After each step tells what it took, and waits for a line."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __call__(self, num_tokens: int, loss: float) -> None:
        """Of the step that has just ended: its real tokens and its loss."""
        step = {
            "cpu": time.process_time() - self._cpu,
            "wall": time.perf_counter() - self._wall,
            "num_tokens": num_tokens,
            "loss": loss,
            "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        print(json.dumps(step), file=self._answers, flush=True)
        sys.stdin.readline()
        self._cpu, self._wall = time.process_time(), time.perf_counter()


def ours(settings: Settings, pace: Pace) -> None:
    """``magic_megatron.sft`` with all that it logs."""
    from magic_megatron import platform

    platform.activate("rehearsal")

    from magic_megatron.config.sft import SftConfig
    from magic_megatron.sft.preflight import plan_run
    from magic_megatron.sft.processes import distributed
    from magic_megatron.sft.progress import RunLog
    from magic_megatron.sft.trainer import train
    from recipes.command import compose, typed

    write = RunLog.step

    def write_and_wait(log: RunLog, metrics: dict[str, Any]) -> None:
        write(log, metrics)
        pace(metrics["num_tokens"], metrics["loss"])

    RunLog.step = write_and_wait  # type: ignore[method-assign]
    keys = [
        f"model={settings['recipe']}",
        f"data.path={settings['export']}/train",
        f"init_from={settings['checkpoint']}",
        f"data.sequence_length={settings['sequence_length']}",
        f"train.num_steps={settings['num_steps']}",
        f"train.global_batch_size={settings['num_packs']}",
        f"optim.lr={settings['lr']}",
        f"output_dir={settings['output_dir']}",
        "logging.wandb=disabled",
    ]
    config = typed(SftConfig, compose("sft", keys))
    plan = plan_run(config, 1)
    with distributed(config.platform):
        train(plan)


def theirs(settings: Settings, pace: Pace) -> None:
    """transformers' ``Trainer`` or TRL's ``SFTTrainer``, from the same weights and rows."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments
    from trl import SFTConfig, SFTTrainer, pack_dataset
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    torch.set_num_threads(1)
    kind, packs = settings["side"], settings["side"] != "SFTTrainer, padding"
    num_tokens = 0

    class Tell(TrainerCallback):
        """The loss of a step is logged after its end."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **unused: Any) -> None:
            nonlocal num_tokens
            if "loss" in logs:
                pace(num_tokens, logs["loss"])
                num_tokens = 0

    def counting(collate: Any) -> Any:
        def count(rows: list[dict[str, Any]]) -> Any:
            nonlocal num_tokens
            num_tokens += sum(len(row["input_ids"]) for row in rows)
            return collate(rows)

        return count

    model = AutoModelForCausalLM.from_pretrained(
        settings["model"], dtype=torch.float32, attn_implementation="sdpa", **settings["experts"]
    )
    tokenizer = AutoTokenizer.from_pretrained(f"{settings['export']}/tokenizer")
    rows = rows_of(settings)
    # As many rows or packs at a time as is fastest for each: attention of packs laid end to end costs the square.
    rows_a_pack = settings["sequence_length"] * len(rows) // sum(len(row) for row in rows["input_ids"])
    shared = {
        "output_dir": settings["output_dir"],
        "max_steps": settings["num_steps"],
        "per_device_train_batch_size": 1 if packs else rows_a_pack,
        "gradient_accumulation_steps": settings["num_packs"],
        "learning_rate": settings["lr"],
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.01,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }
    if kind.startswith("SFTTrainer"):
        aux = {"router_aux_loss_coef": settings["aux_loss_coeff"]} if settings["experts"] else {}
        arguments = SFTConfig(**shared, **aux, packing=packs, max_length=settings["sequence_length"])
        trainer: Trainer = SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
    else:
        if settings["experts"]:
            model.config.output_router_logits = True
            model.config.router_aux_loss_coef = settings["aux_loss_coeff"]
        trainer = Trainer(
            model,
            TrainingArguments(**shared, remove_unused_columns=False),
            train_dataset=pack_dataset(rows, settings["sequence_length"], "bfd"),
            data_collator=DataCollatorForLanguageModeling(tokenizer.pad_token_id, padding_free=True),
        )
    trainer.data_collator = counting(trainer.data_collator)
    trainer.add_callback(Tell())
    trainer.train()


def rows_of(settings: Settings) -> Any:
    """The exported rows that fit, tokens and labels, as a ``datasets.Dataset``."""
    from datasets import Dataset

    from magic_megatron.data.pair import open_pair

    pair = open_pair(f"{settings['export']}/train")
    fits = [row for row, length in enumerate(pair.num_tokens) if length <= settings["sequence_length"]]
    return Dataset.from_dict(
        {
            "input_ids": [pair.tokens[row].tolist() for row in fits],
            "labels": [pair.labels[row].tolist() for row in fits],
        }
    )


def main() -> None:
    settings = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the libraries print
    side = ours if settings["side"] == "ours" else theirs
    side(settings, Pace(answers))


if __name__ == "__main__":
    main()
