"""Real data for the tests: rows that data_synth makes, exported once for all workers."""

import os
from pathlib import Path

import pytest
from commands import must_run
from hypothesis import settings
from shared_folders import made_once

os.environ["WANDB_MODE"] = "disabled"  # for the commands that tests start, unless a test is about it
# The same examples each time: what others change can't break a test. To look further: --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def synth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 mini rows over the three scheduling subtasks. Read only."""
    with made_once(tmp_path_factory, "synth") as (folder, is_empty):
        if is_empty:
            must_run(
                "data_synth",
                "task=scheduling",
                "difficulty=mini",
                "num_samples=600",
                "seed=3",
                f"output_dir={folder}",
            )
    return folder


@pytest.fixture(scope="session")
def export_folder(synth_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The indexed pair of ``synth_folder`` with a tokenizer of its own. Read only."""
    with made_once(tmp_path_factory, "export") as (folder, is_empty):
        if is_empty:
            must_run("data_synth.export", f"input={synth_folder / 'data.jsonl'}", f"output_dir={folder}")
    return folder
