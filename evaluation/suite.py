"""Several benchmarks one after another: ``benchmark=[a,b]`` and ``benchmark=all``, each by its own recipe.

``suite.NAME.KEY=VALUE`` is ``KEY=VALUE`` for the benchmark NAME alone. A benchmark runs in all its ``variants``
(subtasks, languages) unless the command line says which.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from evaluation import benchmarks
from evaluation.command import SHORT
from evaluation.jsonl import encode, replace
from evaluation.packages import WorkerError
from evaluation.results import headline
from evaluation.runner import evaluate, failure
from evaluation.settings import EvalSettings
from recipes.command import InputError, compose, make_folder, typed


def take_suite(arguments: list[str]) -> Suite | None:
    """Take a suite's words out of the command line, which Hydra couldn't read; None if it is about one benchmark."""
    chosen = [a for a in arguments if a.startswith("benchmark=[") or a == "benchmark=all"]
    if not chosen:
        return None
    own = [a for a in arguments if a.startswith("suite.")]
    arguments[:] = [a for a in arguments if a not in chosen and a not in own]
    return Suite(chosen[-1].partition("=")[2], tuple(a.removeprefix("suite.") for a in own))


@dataclass(frozen=True)
class Suite:
    """What the command line says of it.

    Attributes:
        chosen: ``all``, or names between brackets.
        own: ``NAME.KEY=VALUE`` each.
    """

    chosen: str
    own: tuple[str, ...]

    def main(self, config: DictConfig) -> None:
        """Do all benchmarks, write ``summary.json``; status 1 at the end if one had no data or failed requests."""
        common = list(HydraConfig.get().overrides.task)
        GlobalHydra.instance().clear()
        if OmegaConf.is_missing(config, "output_dir"):
            raise InputError("output_dir: missing; give it as output_dir=VALUE")
        output_dir = Path(config.output_dir)
        runs = [typed(EvalSettings, one) for one in self._configs(common, output_dir)]
        make_folder("output_dir", output_dir)
        summary, problems = [], []
        for settings in runs:
            line, problem = _run(settings)
            summary.append({"folder": str(Path(settings.output_dir).relative_to(output_dir)), **line})
            replace(output_dir / "summary.json", encode({"benchmarks": summary}, indent=1) + b"\n")
            problems += [f"{summary[-1]['folder']}: {problem}"] if problem else []
        if problems:
            print(*problems, sep="\n", file=sys.stderr)
            sys.exit(f"error: {len(problems)} of {len(runs)} have no whole result; the reasons are above")

    @property
    def names(self) -> list[str]:
        """The benchmarks, in their order.

        Raises:
            InputError: one that there isn't, here or in ``suite.NAME``.
        """
        known = benchmarks.names()
        names = [name.strip() for name in self.chosen.strip("[]").split(",")]
        names = known if self.chosen == "all" else list(dict.fromkeys(name for name in names if name))
        if not names:
            raise InputError(f"benchmark={self.chosen}: none in it; choose from {', '.join(known)}")
        for name in names:
            if name not in known:
                raise InputError(f"benchmark={name}: no such benchmark; choose from {', '.join(known)}")
        for override in self.own:
            if override.partition(".")[0] not in names or "=" not in override:
                raise InputError(
                    f"suite.{override}: no benchmark of this run; write it as suite.NAME.KEY=VALUE with NAME "
                    f"one of {', '.join(names)}"
                )
        return names

    def _configs(self, common: list[str], output_dir: Path) -> Iterator[DictConfig]:
        """A composed recipe for each benchmark and variant."""
        for name in self.names:
            own = [_spelt_out(o.partition(".")[2]) for o in self.own if o.partition(".")[0] == name]
            overrides = [*common, *own, f"benchmark={name}"]
            composed = compose("eval", overrides)
            parts = dict.fromkeys(key for one in composed.variants for key in one)
            for variant in _variants(composed, overrides):
                config = composed.copy()
                for key, value in variant.items():
                    OmegaConf.update(config, key, value)
                which = [str(OmegaConf.select(config, key)) for key in parts]
                config.output_dir = str(output_dir.joinpath(name, *which))
                yield config


def _spelt_out(override: str) -> str:
    """``override`` with the key that a short word stands for."""
    key, is_override, value = override.partition("=")
    return f"{SHORT.get(key, key)}{is_override}{value}"


def _variants(config: DictConfig, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """The variants of the recipe's that agree with what the command line says."""
    given = {override.partition("=")[0] for override in overrides}
    variants = OmegaConf.to_container(config.variants, resolve=True)
    assert isinstance(variants, list)
    open_keys = [{key: value for key, value in one.items() if key not in given} for one in variants]
    return [one for i, one in enumerate(open_keys) if one not in open_keys[:i]] or [{}]


def _run(settings: EvalSettings) -> tuple[dict[str, Any], str]:
    """A line of the summary, and what went wrong, or ""."""
    which = {"benchmark": settings.benchmark, "subtask": settings.subtask, "language": settings.language}
    try:
        results = evaluate(settings)
    except (InputError, WorkerError) as error:
        return {**which, "error": str(error)}, str(error)
    print(headline(results))
    line = {**which, "num_samples": results["num_samples"], "num_errors": len(results["errors"])}
    return {**line, "metrics": results["metrics"]}, failure(results, settings.output_dir)
