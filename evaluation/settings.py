"""``recipes/eval.yaml`` as a dataclass, checked before anything is asked or written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evaluation.benchmarks import Source, keys_beside_answers
from evaluation.chat import GROUPS, Role
from evaluation.client import Endpoint, Generation
from evaluation.journal import without
from evaluation.score import Chosen
from recipes.command import InputError


@dataclass(frozen=True)
class EvalSettings(Chosen):
    """``recipes/eval.yaml`` with one benchmark."""

    variants: list[dict[str, Any]]
    num_shots: int | None
    limit: int | None
    num_trials: int
    seed: int
    thinking: bool | None
    concurrency: int
    resume: Literal["auto", "never"]
    endpoint: Endpoint
    user: Endpoint
    judge: Endpoint
    generation: Generation

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit={self.limit}: too few; give 1 or more, or null for all")
        if self.endpoint.base_url is None:
            raise InputError(
                "endpoint.base_url=null: the model's address is missing; give http://HOST:PORT/v1"
            )
        for role, group in GROUPS.items():
            self.served_at(role).check(group)
        for key, value in (("num_trials", self.num_trials), ("concurrency", self.concurrency)):
            if value < 1:
                raise InputError(f"{key}={value}: too few; give 1 or more")

    def served_at(self, role: Role) -> Endpoint:
        """The endpoint that plays a role."""
        return {"agent": self.endpoint, "user": self.user, "judge": self.judge}[role]

    @property
    def roles(self) -> Iterator[tuple[Role, Endpoint]]:
        """The roles that an endpoint plays."""
        for role in GROUPS:
            if self.served_at(role).base_url is not None:
                yield role, self.served_at(role)

    @property
    def source(self) -> Source:
        """Which part of the benchmark, over which data."""
        return replace(super().source, num_shots=self.num_shots)

    def identity(self) -> dict[str, Any]:
        """What decides the answers: all but where the models are served, how patiently they are asked, and scoring."""
        plain = ("benchmark", "subtask", "language", "mode", "embedding", "options", "num_shots", "limit")
        settings = {
            **{key: getattr(self, key) for key in (*plain, "num_trials", "seed", "thinking")},
            "data_sha256": _digest(Path(self.gold.data)) if self.gold.data else None,
            "model": self.endpoint.model,
            **{f"{role}.model": endpoint.model for role, endpoint in self.roles if role != "agent"},
            **{f"{role}.thinking": endpoint.thinking for role, endpoint in self.roles if role != "agent"},
            "generation.max_tokens": self.generation.max_tokens,
            "generation.temperature": self.generation.temperature,
            "generation.top_p": self.generation.top_p,
        }
        return without(settings, keys_beside_answers(self.benchmark))


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of all files below a folder with their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)}\0".encode() + file.read_bytes())
    return digest.hexdigest()
