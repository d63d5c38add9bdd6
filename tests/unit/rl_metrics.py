"""``metrics.jsonl`` of made-up runs of RL: rewards rise, entropies fall, seeds differ."""

import json
import math
import random

import yaml

TASKS = {"alfworld": 0.7, "scheduling": 0.5, "decomposition": -0.2}


def line(noise, step, gain):
    """A step as the trainer logs it; ``gain`` is how fast the run learns."""
    level = 1 - math.exp(-gain * step / 60)
    rewards = {f"reward/{task}": 1 + rise * level + noise.gauss(0, 0.08) for task, rise in TASKS.items()}
    think, act = 1.4 - 0.7 * level + noise.gauss(0, 0.05), 0.14 - 0.09 * level + abs(noise.gauss(0, 0.006))
    found = {
        "step": step,
        "reward": sum(rewards.values()) / len(rewards),
        **rewards,
        "advantage_std/scheduling": 0.9 + noise.gauss(0, 0.05),
        "parts/scheduling/format": min(1, 0.8 + 0.2 * level),
        "parts/scheduling/schedule": 0.2 + 0.5 * level + noise.gauss(0, 0.05),
        "success/alfworld": min(1, max(0, 0.3 + 0.5 * level + noise.gauss(0, 0.06))),
        "entropy": 0.8 * think,
        "entropy_think": think,
        "entropy_act": act,
        "history_think": 1.4 - 0.3 * level,
        "history_act": 0.14 - 0.04 * level,
        "smooth": 0.01 * think,
        "information_bottleneck": think - act,
        "kl": 0.002 * step / 60,
        "grad_norm": math.exp(noise.gauss(0, 0.6)),
        "lr": 1e-6,
        "clip_fraction": abs(noise.gauss(0, 0.004)),
        "log_prob_difference_mean": abs(noise.gauss(3e-3, 5e-4)),
        "log_prob_difference_max": abs(noise.gauss(0.2, 0.08)),
        "response_length": 180 + 40 * level + noise.gauss(0, 8),
        "max_vio": 0.4 + noise.gauss(0, 0.04),
        "step_time_s": 20 + noise.gauss(0, 1),
        "tokens_per_s": 9000 + noise.gauss(0, 300),
        "time/gen_s": 11 + noise.gauss(0, 0.7),
        "time/update_actor_s": 6 + noise.gauss(0, 0.4),
        "time/old_log_prob_s": 2.5,
    }
    if step == 1 or step % 10 == 0:
        found["time/testing_s"] = 8.0
    return found


def save(folder, algorithm, seed, gain, num_steps=60, **changes):
    """A run folder with evaluations before training and every tenth step, these in lines of their own."""
    noise = random.Random(f"{algorithm} {seed}")
    folder.mkdir(parents=True)
    lines = []
    for step in range(num_steps + 1):
        if step:
            lines.append(line(noise, step, gain))
        if step % 10 == 0:
            success = 0.3 + 0.5 * (1 - math.exp(-gain * step / 60))
            lines.append(
                {"step": step}
                | {
                    f"validation/{task}/{mode}": min(1, max(0, success + shift + noise.gauss(0, 0.04)))
                    for task in ("alfworld_unseen", "scheduling")
                    for mode, shift in (("greedy", 0.0), ("sampled", -0.06))
                }
            )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = {"algorithm": {"name": algorithm}, "optim": {"lr": 1e-6}, "train": {"seed": seed}, "seed": seed}
    recipe |= {"output_dir": str(folder)} | changes
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder
