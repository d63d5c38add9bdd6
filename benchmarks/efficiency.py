"""Our efficiency client beside vLLM's own bench on the same server: means of TTFT, TPOT and latency, and throughput.

vLLM serves a tiny Qwen3 in rehearsal; `vllm bench serve` and `python -m evaluation.efficiency` ask it by turns for
answers of the same lengths at the same concurrency, of which the medians over the rounds are compared. Both measure
the same server, so their figures should be the same: ratios near 1.

    python benchmarks/efficiency.py [--full]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import vllm
from _result import entry

from magic_megatron.platform.serve import ServeOptions, server_environment, serving

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from tiny_model import save_tiny_model

INPUT_TOKENS, OUTPUT_TOKENS = 256, 64  # the tiny model's context has 512
CONCURRENCY, NUM_REQUESTS, NUM_WARMUP = 4, 16, 2
NAME = "tiny"
# `vllm bench serve` itself asks for metadata of a package called vllm; the CPU wheel has another name.
BENCH_SERVE = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
FIGURES = {  # ours, theirs, and what makes a second of theirs
    "ttft_s": ("mean_ttft_ms", 1e-3),
    "tpot_s": ("mean_tpot_ms", 1e-3),
    "latency_s": ("mean_e2el_ms", 1e-3),
    "output_tokens_per_s": ("output_throughput", 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true", help="9 rounds in place of 3")
    num_rounds = 9 if parser.parse_args().full else 3
    packages = ", ".join(f"{name} {version(name)}" for name in ("httpx", "transformers"))
    print(
        f"vllm {vllm.__version__}, {packages}; {CONCURRENCY} at once, {INPUT_TOKENS} in, {OUTPUT_TOKENS} out",
        file=sys.stderr,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_tiny_model(folder / "model", num_experts=0)
        options = ServeOptions(
            model=folder / "model",
            name=NAME,
            log=folder / "server.log",
            platform="rehearsal",
            port=0,
            max_model_len=512,
            dtype=None,
            max_num_seqs=8,
            timeout_s=600.0,
            extra=(),
        )
        with serving(options) as base_url:
            measured = [(_ours(base_url, folder, i), _theirs(base_url, folder, i)) for i in range(num_rounds)]
    print(json.dumps([_compared(key, measured) for key in FIGURES]))


def _compared(key: str, measured: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    ours, theirs = (statistics.median(pair[side][key] for pair in measured) for side in (0, 1))
    better, unit = ("higher", "tokens/s") if key == "output_tokens_per_s" else ("lower", "s")
    return entry(f"efficiency_{key}_over_vllm_bench", ours / theirs, 1.0, better, ours, theirs, unit)


def _ours(base_url: str, folder: Path, seed: int) -> dict[str, float]:
    output_dir = folder / f"ours{seed}"
    keys = {
        **{"endpoint.base_url": base_url, "model": NAME, "output_dir": output_dir, "api": "completions"},
        **{"concurrency": CONCURRENCY, "num_requests": NUM_REQUESTS, "num_warmup": NUM_WARMUP, "seed": seed},
        **{"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    }
    overrides = [f"{key}={value}" for key, value in keys.items()]
    _run([sys.executable, "-m", "evaluation.efficiency", *overrides])
    metrics = json.loads((output_dir / "results.json").read_text())["metrics"]
    return {key: metrics[f"{key}@{CONCURRENCY}"] for key in FIGURES}


def _theirs(base_url: str, folder: Path, seed: int) -> dict[str, float]:
    options = {
        **{"backend": "openai", "base-url": base_url.removesuffix("/v1"), "endpoint": "/v1/completions"},
        **{"model": NAME, "tokenizer": folder / "model", "dataset-name": "random", "seed": 1000 + seed},
        **{"random-input-len": INPUT_TOKENS, "random-output-len": OUTPUT_TOKENS, "random-range-ratio": 0},
        **{"num-prompts": NUM_REQUESTS, "max-concurrency": CONCURRENCY, "num-warmups": NUM_WARMUP},
        **{
            "percentile-metrics": "ttft,tpot,e2el",
            "result-dir": folder,
            "result-filename": f"theirs{seed}.json",
        },
        "temperature": 0,
    }
    arguments = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    flags = ["--ignore-eos", "--save-result", "--disable-tqdm"]
    _run([sys.executable, "-c", BENCH_SERVE, *arguments, *flags])
    results = json.loads((folder / f"theirs{seed}.json").read_text())
    return {key: results[theirs] * factor for key, (theirs, factor) in FIGURES.items()}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=server_environment("rehearsal"))
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main()
