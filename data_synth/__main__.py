"""``python -m data_synth task=T num_samples=N output_dir=D``; ``docs/data.md`` has the keys."""

from omegaconf import DictConfig

from data_synth.engine import generate
from data_synth.tasks import entry
from data_synth.tasks.toolbox import Toolbox
from recipes.command import run, typed


def main(config: DictConfig) -> None:
    """Generate the rows of the configured task."""
    task = entry(config.task.name)
    settings = typed(task.settings, config)
    settings.check()
    usage = Toolbox.open(settings).model.usage if task.asks_model else dict
    generate(task.make(settings), settings, usage)


if __name__ == "__main__":
    run("synth", main)
