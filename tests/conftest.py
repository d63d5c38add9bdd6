"""Real data for the tests: rows that data_synth makes, exported once a session."""

import subprocess
import sys
from pathlib import Path

import pytest


def run_module(module: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments`` in a process of its own; its output is captured."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def must_run(module: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """As ``run_module``, but a failure fails the test with the end of what was printed."""
    done = run_module(module, *arguments, timeout=timeout)
    assert done.returncode == 0, f"{module}: {done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="session")
def synth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 mini rows over the three scheduling subtasks."""
    folder = tmp_path_factory.mktemp("synth")
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
    """The indexed pair of ``synth_folder`` with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("export")
    must_run("data_synth.export", f"input={synth_folder / 'data.jsonl'}", f"output_dir={folder}")
    return folder
