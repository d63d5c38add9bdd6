"""The prompts of a run in the order of its schedule, as verl's data loader takes them.

verl hands ``data.train_files`` to the dataset as it is: here it names an order file, written before Ray starts.
Since the order holds every prompt of the run, a resumed loader needs nothing but its position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.data import Dataset

Sampling = Literal["train", "greedy", "sampled"]


@dataclass(frozen=True)
class PromptOrder:
    """Which rows of which parquet files are asked, in which order.

    ``places`` is the name of a ``.npy`` file beside this one: int64, shape (num_prompts,), numbers of rows counted
    through ``files``. ``sampling`` says by which block of the recipe answers are drawn.
    """

    files: list[str]
    places: str
    sampling: list[Sampling]

    @classmethod
    def read(cls, path: Path) -> PromptOrder:
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path, places: np.ndarray) -> None:
        """Both files. A run that is resumed writes the same again."""
        np.save(path.parent / self.places, places.astype(np.int64))
        path.write_text(json.dumps(asdict(self)))


class ParquetRows:
    """Rows of several parquet files by number, read a row group at a time: a file needn't fit into memory."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = [pq.ParquetFile(file, memory_map=True) for file in files]
        sizes = [
            (file, group, file.metadata.row_group(group).num_rows)
            for file in self._files
            for group in range(file.num_row_groups)
        ]
        self._groups = [(file, group) for file, group, _ in sizes]
        self._ends = np.cumsum([size for *_, size in sizes], dtype=np.int64)
        self._cached: tuple[int, Any] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, place: int) -> dict[str, Any]:
        group = int(np.searchsorted(self._ends, place, side="right"))
        if self._cached is None or self._cached[0] != group:
            file, number = self._groups[group]
            self._cached = (group, file.read_row_group(number))
        first = int(self._ends[group - 1]) if group else 0
        return self._cached[1].slice(place - first, 1).to_pylist()[0]

    def column(self, name: str) -> list[Any]:
        """One column of all rows."""
        return [value for file in self._files for value in file.read(columns=[name]).column(0).to_pylist()]


class PromptDataset(Dataset[dict[str, Any]]):
    """verl's ``data.custom_cls``: the prompts that an order file lists.

    The chat template is left to the agent loop, which knows the row's tools.
    """

    def __init__(self, data_files: str | Sequence[str], **_: Any) -> None:
        path = Path(data_files if isinstance(data_files, str) else data_files[0])
        self.order = PromptOrder.read(path)
        self._places = np.load(path.parent / self.order.places)
        self._rows: ParquetRows | None = None

    def __len__(self) -> int:
        return len(self._places) * len(self.order.sampling)

    def __getitem__(self, number: int) -> dict[str, Any]:
        if self._rows is None:
            self._rows = ParquetRows(self.order.files)
        block, position = divmod(number, len(self._places))
        row = self._rows[int(self._places[position])]
        return {
            "raw_prompt": row["prompt"],
            "data_source": row["data_source"],
            "reward_model": row["reward_model"],
            "extra_info": row["extra_info"],
            "agent_name": row.get("agent_name") or "planning",
            "sampling": self.order.sampling[block],
            "index": number,  # of every answer one of its own: a request's seed comes from it
            "tools_kwargs": {},
            "interaction_kwargs": {},
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),  # verl's batches need one tensor
        }

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_rows": None}
