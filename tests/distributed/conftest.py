"""Held-out rows for validation; a Slurm."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import must_run
from sft_runs import NUM_HELD_OUT
from shared_folders import made_once
from slurm_cluster import SlurmCluster, slurm_cluster


@pytest.fixture(scope="session")
def held_out(export_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefix of the pair of 24 puzzles of structures that ``export_folder`` doesn't have. Read only."""
    with made_once(tmp_path_factory, "held_out") as (folder, is_empty):
        if is_empty:
            must_run(
                "data_synth",
                "task=scheduling",
                "difficulty=mini",
                f"num_samples={NUM_HELD_OUT}",
                "seed=3",
                "split=test",
                f"output_dir={folder / 'rows'}",
            )
            must_run(
                "data_synth.export",
                f"input={folder / 'rows/data.jsonl'}",
                f"tokenizer={export_folder / 'tokenizer'}",
                f"output_dir={folder / 'export'}",
            )
    return folder / "export/train"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """Two idle nodes of a real Slurm."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with slurm_cluster(folder) as running:
            yield running
