"""``python -m magic_megatron.rl.show``: see ``recipes/rl_show.yaml`` for its keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from magic_megatron.rl.rollouts import FOLDER, read
from magic_megatron.rl.show.groups import Shown, collect
from magic_megatron.rl.show.page import write_page
from magic_megatron.rl.show.steps import parse_steps
from recipes.command import InputError, make_folder, run, typed


@dataclass(frozen=True)
class ShowConfig:
    """``recipes/rl_show.yaml``."""

    rollouts: str | list[str]
    output: str | None
    steps: int | str | list[int | str] | None
    tasks: str | list[str] | None
    limit: int
    seed: int

    def __post_init__(self) -> None:
        if not self.rollouts:
            raise InputError(f"rollouts={self.rollouts}: no run; give its output_dir, or files of rollouts")
        if self.limit < 1:
            raise InputError(f"limit={self.limit}: shows nothing; give 1 or more")


def main(recipe: DictConfig) -> None:
    config = typed(ShowConfig, recipe)
    paths = [config.rollouts] if isinstance(config.rollouts, str) else config.rollouts
    tasks = [config.tasks] if isinstance(config.tasks, str) else config.tasks
    output = _output(config.output, paths)
    steps = None if config.steps is None else parse_steps(config.steps)
    shown = collect(read(paths, steps), tasks, config.limit, config.seed)
    _check(shown, config)
    write_page(shown, ", ".join(paths), output)
    print(_summary(shown, output))


def _output(given: str | None, paths: list[str]) -> Path:
    if given is None:
        folder = Path(paths[0])
        if len(paths) > 1 or folder.is_file():
            raise InputError("output=null: no folder of one run; give a file, such as output=rollouts.html")
        return (folder.parent if folder.name == FOLDER else folder) / "rollouts.html"
    path = Path(given)
    if path.is_dir():
        raise InputError(f"output={path}: is a folder; give a file, such as {path / 'rollouts.html'}")
    make_folder("output", path.parent)
    return path


def _check(shown: Shown, config: ShowConfig) -> None:
    if shown.groups:
        return
    if shown.tasks_read:
        raise InputError(
            f"tasks={config.tasks}: no such samples here; there are {', '.join(shown.tasks_read)}"
        )
    wanted = "" if config.steps is None else f" of steps={config.steps}"
    raise InputError(
        f"rollouts={config.rollouts}: no samples{wanted} in there; give another run, or other steps"
    )


def _summary(shown: Shown, output: Path) -> str:
    left = shown.num_read - shown.num_samples
    drawn = f"; {left:,} more are beyond limit" if left else ""
    size = output.stat().st_size / 1e6
    return (
        f"wrote {output}: {shown.num_samples:,} samples of {len(shown.groups):,} groups, {size:.1f} MB{drawn}"
    )


if __name__ == "__main__":
    run("rl_show", main)
