"""``python -m data_synth task=scheduling num_samples=N output_dir=D``; ``docs/data.md`` has the keys."""

from omegaconf import DictConfig

from data_synth.engine import generate
from data_synth.tasks import TASKS
from recipes.command import run, typed


def main(config: DictConfig) -> None:
    """Generate the rows of the configured task."""
    entry = TASKS[config.task.name]
    settings = typed(entry.settings, config)
    settings.check()
    generate(entry.make(settings), settings)


if __name__ == "__main__":
    run("synth", main)
