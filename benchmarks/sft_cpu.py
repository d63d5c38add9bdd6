"""Tokens per second and memory of one process of SFT against what a user would pick: TRL or transformers' Trainer.

Dense and Mixture-of-Experts twins from the same weights, the same rows of scheduling puzzles, as many real tokens in
a step, AdamW, fp32, one thread each. Ours is `magic_megatron.sft` with all that it logs. The baselines are TRL's
SFTTrainer with packing and without, and transformers' Trainer on TRL's packs; and for the Mixture of Experts each of
transformers' ways to compute experts. All run side by side, one step of each in turn; the fastest baseline counts.

    python benchmarks/sft_cpu.py [--full]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROWS, WARM_UP, ROUNDS, FULL_ROUNDS = 600, 2, 6, 40
SEQUENCE_LENGTH, NUM_PACKS = 1024, 8
WORKER = Path(__file__).with_name("_sft_cpu_worker.py")
DENSE = {name: {} for name in ("SFTTrainer, packing", "SFTTrainer, padding", "Trainer, packing")}
EXPERTS = {
    f"Trainer, packing, {way}": {"experts_implementation": way}
    for way in ("eager", "grouped_mm", "batched_mm")
} | {"SFTTrainer, packing, grouped_mm": {"experts_implementation": "grouped_mm"}}
MODELS = {"dense": ("qwen3_tiny", DENSE), "moe": ("qwen3_moe_tiny", EXPERTS)}


def main() -> None:
    """Measure and end with a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROUNDS} rounds in place of {ROUNDS}")
    num_rounds = FULL_ROUNDS if parser.parse_args().full else ROUNDS
    packages = ("trl", "transformers", "megatron-core", "torch")
    print(
        f"ours: magic_megatron.sft; baselines of {', '.join(f'{name} {version(name)}' for name in packages)};"
        f" one thread each, {num_rounds} steps of about {NUM_PACKS * SEQUENCE_LENGTH:,} tokens in turn"
    )
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        for kind, (recipe, baselines) in MODELS.items():
            make_model(folder / kind, recipe, folder / "export")
            results += compare(kind, recipe, baselines, folder, num_rounds)
    print(json.dumps(results))


def compare(
    kind: str, recipe: str, baselines: dict[str, dict[str, str]], folder: Path, num_rounds: int
) -> list[dict[str, Any]]:
    """Entries of one model: speed and memory over those of the fastest baseline."""
    sides = {"ours": {}, **baselines}
    runs = measure(kind, recipe, sides, folder, num_rounds)
    rates = {side: rate(steps) for side, steps in runs.items()}
    memory = {side: max(step["peak_memory"] for step in steps) / 2**20 for side, steps in runs.items()}
    fastest = max(baselines, key=lambda side: rates[side])
    for side, steps in runs.items():
        print(
            f"{kind}: {side}: {rates[side]:,.0f} tokens per CPU second, {memory[side]:,.0f} MiB,"
            f" loss {statistics.mean(step['loss'] for step in steps):.3f}"
            f"{', the fastest baseline' if side == fastest else ''}"
        )
    return [
        entry(f"sft_cpu/{kind}/speed", rates["ours"], rates[fastest], "higher", "tokens per CPU second"),
        entry(f"sft_cpu/{kind}/memory", memory["ours"], memory[fastest], "lower", "MiB at most"),
    ]


def measure(
    kind: str, recipe: str, sides: dict[str, dict[str, str]], folder: Path, num_rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """The steps of each side after its first ones."""
    settings = {
        "recipe": recipe,
        "export": str(folder / "export"),
        "model": str(folder / kind / "model"),
        "checkpoint": str(folder / kind / "checkpoint"),
        "sequence_length": SEQUENCE_LENGTH,
        "num_packs": NUM_PACKS,
        "num_steps": WARM_UP + num_rounds,
        "lr": 1e-3,
        "aux_loss_coeff": 1e-4,
    }
    with contextlib.ExitStack() as stack:
        workers = {}
        for number, (side, experts) in enumerate(sides.items()):
            own = {"side": side, "experts": experts, "output_dir": str(folder / kind / f"run{number}")}
            workers[side] = stack.enter_context(worker(settings | own))
        steps = {side: steps_of(process) for side, process in workers.items()}
        rounds = [{side: next(own) for side, own in steps.items()} for _ in range(WARM_UP + num_rounds)]
    return {side: [found[side] for found in rounds[WARM_UP:]] for side in sides}


@contextlib.contextmanager
def worker(settings: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that has set up and waits before its first step's end."""
    log = Path(settings["output_dir"]).with_suffix(".log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        try:
            yield process
            process.communicate()
        finally:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{settings['side']}: {log.read_text()[-2000:]}")


def steps_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What each step took. The process runs only until the end of the step that is asked for."""
    assert process.stdout is not None and process.stdin is not None
    for line in process.stdout:
        yield json.loads(line)
        process.stdin.write("\n")
        process.stdin.flush()


def rate(steps: list[dict[str, Any]]) -> float:
    """Tokens per second of CPU time."""
    return statistics.median(step["num_tokens"] / step["cpu"] for step in steps)


def entry(name: str, ours: float, baseline: float, better: str, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(ours / baseline, 3),
        "target": 1.0,
        "better": better,
        "ours": round(ours, 1),
        "baseline": round(baseline, 1),
        "unit": unit,
    }


def make_data(folder: Path) -> None:
    """Scheduling rows of the length of NaturalPlan's, and their export."""
    command("data_synth", "task=scheduling", f"num_samples={ROWS}", f"output_dir={folder}/rows")
    command("data_synth.export", f"input={folder}/rows/data.jsonl", f"output_dir={folder}/export")


def make_model(folder: Path, recipe: str, export: Path) -> None:
    """Random weights as transformers saves them, and the same converted for ours."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from magic_megatron.config.model import ModelConfig
    from magic_megatron.models.huggingface_config import huggingface_config
    from recipes.command import compose, typed

    model = typed(ModelConfig, compose("sft", [f"model={recipe}", "output_dir=-"]).model)
    tokenizer = AutoTokenizer.from_pretrained(export / "tokenizer")
    eos, source = tokenizer.eos_token_id, folder / "model"
    fields = huggingface_config(model, vocab_size=len(tokenizer), dtype="float32", bos=None, eos=eos)
    source.mkdir(parents=True)
    (source / "config.json").write_text(json.dumps(fields))
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source), dtype=torch.float32).save_pretrained(
        source
    )
    tokenizer.save_pretrained(source)
    command(
        "magic_megatron.convert",
        "direction=from_hf",
        f"source={source}",
        f"target={folder}/checkpoint",
    )


def command(module: str, *keys: str) -> None:
    """One of ours, quietly."""
    subprocess.run([sys.executable, "-m", module, *keys], check=True, capture_output=True)


if __name__ == "__main__":
    main()
