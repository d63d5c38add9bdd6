"""Run folders of made-up evaluations, as the commands of evaluation write them."""

import json
import random

HOSTILE = '</script><script>alert("1")</script><!-- <img src=x onerror=alert(2)> & \u2028 \udcff'
BFCL = {
    **dict.fromkeys(
        ("simple", "java", "javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"), 12
    ),
    **{f"live_{name}": 9 for name in ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance")},
    "live_relevance": 4,
    **{f"multi_turn_{name}": 6 for name in ("base", "miss_func", "miss_param", "long_context")},
}
ACEBENCH = (
    "normal_atom_bool",
    "normal_preference",
    "special_incomplete",
    "agent_multi_turn",
    "agent_multi_step",
)
PUZZLES = {"trip": "trip_planning", "meeting": "meeting_planning", "calendar": "calendar_scheduling"}


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def save(folder, benchmark, samples, metrics, groups=(), predictions=None, **more):
    """``results.json`` and ``predictions.jsonl``; ``samples``: lines of ``per_sample``."""
    settings = more.pop("settings", {})
    results = {"benchmark": benchmark, "subtask": None, "language": None, "metrics": metrics}
    results |= {
        "num_samples": len(samples),
        "groups": list(groups),
        "per_sample": samples,
        "errors": [],
    } | more
    write(folder / "results.json", results)
    write(folder / "settings.json", settings)
    said = predictions or [f"<b>{sample['id']}</b> {HOSTILE}" for sample in samples]
    keys = [{key: sample[key] for key in ("id", "trial") if key in sample} for sample in samples]
    write(folder / "predictions.jsonl", *({**k, "prediction": p} for k, p in zip(keys, said, strict=True)))


def judged(noise, skill, ids, **details):
    return [{"id": i, "score": int(noise.random() < skill), "reason": f"why {i} &", **details} for i in ids]


def by_group(samples, group_of, metric="accuracy"):
    groups = {}
    for sample in samples:
        groups.setdefault(group_of(sample), []).append(sample["score"])
    return [
        {"group": name, "num_samples": len(scores), metric: mean(scores)} for name, scores in groups.items()
    ]


def suite(folder, seed, skill, num_puzzles=60):
    """All benchmarks of the paper but efficiency; ``skill``: the chance to be right."""
    noise = random.Random(seed)
    for subtask, name in PUZZLES.items():
        samples = judged(noise, skill, [f"{name}_example_{i}" for i in range(num_puzzles)])
        groups = by_group(samples, lambda sample: f"{2 + len(sample['id']) % 3} people")
        metrics = {"accuracy": mean(sample["score"] for sample in samples)}
        save(folder / "natural_plan" / subtask, "natural_plan", samples, metrics, groups, subtask=subtask)
    _worfbench(folder / "worfbench", noise, skill)
    for subtask in ("retail", "airline"):
        ids = [(str(i), trial) for i in range(20) for trial in range(4)]
        samples = [
            {**one, "trial": t}
            for one, (_, t) in zip(judged(noise, skill, [i for i, _ in ids]), ids, strict=True)
        ]
        right = {i: [s["score"] for s in samples if s["id"] == i] for i in {i for i, _ in ids}}
        both = {
            i: mean(scores[a] * scores[b] for a in range(4) for b in range(4) if a != b)
            for i, scores in right.items()
        }
        metrics = {"average_reward": mean(s["score"] for s in samples)}
        metrics |= {
            "pass^1": metrics["average_reward"],
            "pass^2": mean(both.values()),
            "num_needing_judge": 0,
        }
        dialogue = [{"messages": [{"role": "user", "content": HOSTILE}]} for _ in samples]
        save(folder / "tau2" / subtask, "tau2", samples, metrics, predictions=dialogue, subtask=subtask)
    _bfcl(folder / "bfcl_v3", noise, skill)
    for language in ("en", "zh"):
        samples = judged(noise, skill, [f"{name}_{i}" for name in ACEBENCH for i in range(10)])
        groups = by_group(samples, lambda sample: sample["id"].rpartition("_")[0])
        means = {group["group"]: group["accuracy"] for group in groups}
        family = {
            f: round(mean(v for n, v in means.items() if n.startswith(f)), 3)
            for f in ("normal", "special", "agent")
        }
        overall = round(0.578 * family["normal"] + 0.2676 * family["special"] + 0.1545 * family["agent"], 3)
        save(
            folder / "acebench" / language,
            "acebench",
            samples,
            {"overall": overall, **family},
            groups,
            language=language,
        )
    for subtask in ("seen", "unseen"):
        samples = judged(
            noise, skill, [f"{subtask}/pick-{i}" for i in range(30)], task_type="pick", built=True
        )
        metrics = {"success": mean(s["score"] for s in samples), "mean_steps": 17.25, "share_built": 1.0}
        save(folder / "alfworld" / subtask, "alfworld", samples, metrics, subtask=subtask)
    samples = judged(
        noise, skill, [f"{g}_{i}" for g in ("general", "dependency", "condition") for i in range(15)]
    )
    groups = by_group(samples, lambda sample: sample["id"].rpartition("_")[0], "step_accuracy")
    save(
        folder / "magic_eval_plan",
        "magic_eval_plan",
        samples,
        {"step_accuracy": mean(s["score"] for s in samples)},
        groups,
    )
    return folder


def _worfbench(folder, noise, skill):
    samples = []
    for name, size in (("os", 10), ("webshop", 25)):
        for i in range(size):
            chain = min(1.0, max(0.0, noise.gauss(skill, 0.2)))
            score = {"chain_f1": round(chain, 4), "graph_f1": round(0.7 * chain, 4)}
            samples.append({"id": f"{name}/{i}", "score": score, "reason": "3 nodes; the gold has 4"})
    groups = []
    for name in ("os", "webshop"):
        own = [s["score"] for s in samples if s["id"].startswith(name)]
        groups.append(
            {"group": name, "num_samples": len(own)}
            | {f: mean(s[f] for s in own) for f in ("chain_f1", "graph_f1")}
        )
    metrics = {f: mean(s["score"][f] for s in samples) for f in ("chain_f1", "graph_f1")}
    metrics |= {f"{f}_mean_of_sets": mean(g[f] for g in groups) for f in ("chain_f1", "graph_f1")}
    save(folder, "worfbench", samples, metrics, groups, settings={"mode": "official", "embedding": "minilm"})


def _bfcl(folder, noise, skill):
    samples = [
        s for name, size in BFCL.items() for s in judged(noise, skill, [f"{name}_{i}" for i in range(size)])
    ]
    groups = by_group(samples, lambda sample: sample["id"].rpartition("_")[0])
    means = {group["group"]: group["accuracy"] for group in groups}
    simple = mean(means[name] for name in ("simple", "java", "javascript"))
    others = [means[name] for name in ("multiple", "parallel", "parallel_multiple", "irrelevance")]
    live = mean(sample["score"] for sample in samples if sample["id"].startswith("live_"))
    turns = mean(means[name] for name in means if name.startswith("multi_turn"))
    metrics = {
        "accuracy": mean(s["score"] for s in samples),
        "non_live": mean([simple, *others]),
        "live": live,
    }
    metrics |= {"multi_turn": turns, "overall": mean([metrics["non_live"], live, turns])}
    errors = [{"id": "simple_99", "error": f"HTTP 500: {HOSTILE}"}]
    save(folder, "bfcl_v3", samples, metrics, groups, errors=errors)


def efficiency(folder, speed, tokens=1024):
    """Levels as a server gives them whose times grow with concurrency."""
    levels = []
    for concurrency in (1, 10, 50, 100):
        ttft, tpot = 0.2 * concurrency**0.5 / speed, 0.008 * concurrency**0.3 / speed
        times = {"ttft_s": ttft, "tpot_s": tpot, "latency_s": ttft + tpot * tokens}
        level = {k: {"mean": v, "p50": 0.95 * v, "p90": 1.2 * v, "p99": 1.4 * v} for k, v in times.items()}
        level |= {
            "concurrency": concurrency,
            "num_requests": 2 * concurrency,
            "num_errors": concurrency // 50,
        }
        levels.append(
            level | {"wall_s": 9.0, "output_tokens_per_s": concurrency * tokens / times["latency_s"]}
        )
    errors = [{"id": "50/1", "error": "cut"}]
    settings = {"input_tokens": tokens, "output_tokens": tokens}
    save(folder, "efficiency", [], {"ttft_s@1": 1.0}, levels=levels, errors=errors, settings=settings)
    return folder
