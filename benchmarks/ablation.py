"""Table 6 in miniature: eight ways to keep a router in order, on three planning tasks, over several seeds.

Each run trains ``qwen3_moe_tiny`` in one process on calendar, meeting and trip puzzles and validates on held-out
ones. All runs share data, steps and coefficients (α = 1e-2, ζ = 1e-3: Table 8's are too weak to show in so few
steps). ``--full`` takes five seeds and compares ``moe.statistics`` as well.

    python benchmarks/ablation.py [--full] [--output FOLDER]    tables, a figure, runs to look at
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

ROWS = (
    "baseline",
    "micro_batch_lbl",
    "sequence_lbl",
    "global_lbl",
    "variance_loss",
    "z_loss",
    "expert_capacity",
    "global_lbl_z_loss",
)
STATISTICS = ("exact", "running")
COMMON = [
    "model=qwen3_moe_tiny",
    "platform=rehearsal",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=100000",
    "train.keep_checkpoints=1",
    "train.validation_interval=100000",
    "train.routing_interval=25",
    "data.sequence_length=512",
    "data.pad_multiple=4",
    "optim.lr=3e-3",
    "optim.warmup_steps=10",
    "moe.aux_loss_coeff=1e-2",
]
Z_LOSS_COEFF = 1e-3
NUM_WORKERS = 2
COLUMNS = {
    "max_vio": "MaxVio",
    "max_vio_last": "MaxVio, last fifth",
    "loss": "loss, last fifth",
    "held_out_loss": "held-out loss",
    "token_accuracy": "token accuracy",
    "exact_match": "exact match",
    "domain_divergence": "JS divergence, bits",
    "dropped": "dropped, % of assignments",
}


def make_data(folder: Path, num_train: int) -> tuple[Path, Path]:
    """Prefixes of the training pair and of the held-out one."""
    tokenizer: list[str] = []
    for name, split, number in (("train", "train", num_train), ("held_out", "test", 240)):
        rows, pair = folder / f"{name}_rows", folder / name
        if not (pair / "train_manifest.json").exists():
            synth = [
                "task=scheduling",
                "difficulty=mini",
                f"num_samples={number}",
                f"split={split}",
                "seed=1",
            ]
            _command("data_synth", *synth, f"output_dir={rows}")
            _command("data_synth.export", f"input={rows / 'data.jsonl'}", f"output_dir={pair}", *tokenizer)
        tokenizer = [f"tokenizer={folder / 'train' / 'tokenizer'}"]
    return folder / "train/train", folder / "held_out/train"


def _command(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL)


def overrides(row: str, z_loss_coeff: float) -> list[str]:
    """Of one row of Table 6; those without a z-loss keep 0."""
    chosen = [f"ablation={row}"]
    return [*chosen, f"moe.z_loss_coeff={z_loss_coeff}"] if row.endswith("z_loss") else chosen


def train_all(runs: dict[str, list[str]], folder: Path) -> None:
    """Every run that hasn't finished, shared out over two processes; run ``name`` writes to ``folder/name``."""
    todo = [
        [*run, f"output_dir={folder / name}"]
        for name, run in runs.items()
        if not (folder / name / "validation.jsonl").exists()
    ]
    workers = []
    for number in range(NUM_WORKERS):
        plan = folder / f"worker{number}.json"
        plan.write_text(json.dumps(todo[number::NUM_WORKERS]))
        command = [sys.executable, str(Path(__file__).with_name("_ablation_worker.py")), str(plan)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
        workers.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
    failed = [worker.wait() for worker in workers]
    if any(failed):
        raise SystemExit(f"a worker ended with status {max(failed)}; start again to go on")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def measure(run: Path) -> dict[str, float]:
    """The columns of the table for one run."""
    steps, held_out = lines(run / "metrics.jsonl"), lines(run / "validation.jsonl")[-1]
    routing = lines(run / "routing.jsonl")[-1]
    last = steps[-max(len(steps) // 5, 1) :]
    assignments = 2 * 2 * sum(step["num_tokens"] for step in steps)  # layers · chosen experts
    return {
        "max_vio": statistics.mean(step["max_vio"] for step in steps),
        "max_vio_last": statistics.mean(step["max_vio"] for step in last),
        "loss": statistics.mean(step["loss"] for step in last),
        "held_out_loss": held_out["loss"],
        "token_accuracy": held_out["token_accuracy"],
        "exact_match": held_out["exact_match"],
        "domain_divergence": routing["domain_divergence"],
        "dropped": 100 * sum(step["num_dropped_tokens"] for step in steps) / assignments,
    }


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean ± standard deviation over the seeds."""
    out = ["| " + " | ".join(["", *COLUMNS.values()]) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, runs in found.items():
        cells = []
        for column in COLUMNS:
            values = [run[column] for run in runs]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}")
        out.append("| " + " | ".join([f"`{name}`", *cells]) + " |")
    return "\n".join(out)


def plot(folder: Path, names: dict[str, list[str]], output: Path) -> None:
    """MaxVio and loss over the steps, mean over seeds, a line for each row."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, runs in names.items():
        for axis, key in zip(axes, ("max_vio", "loss"), strict=True):
            curves = np.array([[step[key] for step in lines(folder / run / "metrics.jsonl")] for run in runs])
            smooth = np.convolve(np.pad(curves.mean(axis=0), 4, mode="edge"), np.ones(9) / 9, mode="valid")
            axis.plot(smooth, label=name, linewidth=2.4 if name == "global_lbl_z_loss" else 1.2)
    axes[0].set(xlabel="step", ylabel="MaxVio, mean over layers", ylim=(0, None))
    axes[1].set(xlabel="step", ylabel="loss", yscale="log")
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(output, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="five seeds, more steps, moe.statistics too")
    parser.add_argument("--output", type=Path, help="keep the runs there, and go on with them")
    arguments = parser.parse_args()
    seeds, num_steps = (range(5), 120) if arguments.full else (range(1), 25)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        train, held_out = make_data(folder, num_train=6000 if arguments.full else 1200)
        common = [
            *COMMON,
            f"train.num_steps={num_steps}",
            f"data.path={train}",
            f"data.validation_path={held_out}",
        ]
        kinds = {row: overrides(row, Z_LOSS_COEFF) for row in ROWS}
        if arguments.full:
            best = overrides("global_lbl_z_loss", Z_LOSS_COEFF)
            kinds |= {f"statistics_{name}": [*best, f"moe.statistics={name}"] for name in STATISTICS}
        names = {kind: [f"{kind}_{seed}" for seed in seeds] for kind in kinds}
        # Seed after seed, so that a run that is stopped early has whole rows.
        runs = {f"{kind}_{seed}": [*common, *kinds[kind], f"seed={seed}"] for seed in seeds for kind in kinds}
        train_all(runs, folder)
        found = {kind: [measure(folder / name) for name in names[kind]] for kind in kinds}
        print(f"{len(seeds)} seeds, {num_steps} steps\n\n{table(found)}")
        plot(folder, {row: names[row] for row in ROWS}, folder / "table6.png")
        step_times = {
            kind: statistics.median(
                step["step_time_s"] for name in names[kind] for step in lines(folder / name / "metrics.jsonl")
            )
            for kind in kinds
        }
        print("\nmedian step, s: " + ", ".join(f"{kind} {time:.3f}" for kind, time in step_times.items()))
        ours, baseline = (
            statistics.mean(run["max_vio_last"] for run in found[row])
            for row in ("global_lbl_z_loss", "baseline")
        )
    print(
        json.dumps(
            {
                "name": "MaxVio of global LBL and z-loss over that of neither",
                "ratio": round(ours / baseline, 3),
                "target": 1.0,
                "better": "lower",
                "ours": round(ours, 4),
                "baseline": round(baseline, 4),
                "unit": "MaxVio",
            }
        )
    )


if __name__ == "__main__":
    main()
