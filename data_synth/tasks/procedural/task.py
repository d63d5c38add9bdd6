"""One attempt at a workflow row: the paper's four stages in order (section 3.4)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from random import Random
from typing import Any

from data_synth.llm.model import AnswerError, ask
from data_synth.tasks.base import STRIDE, Attempt, in_turn, split_of, text_digest
from data_synth.tasks.procedural.candidates import choose_candidates
from data_synth.tasks.procedural.dag import Edges, close, ordered, topological_order, write
from data_synth.tasks.procedural.decomposed import Decomposed
from data_synth.tasks.procedural.dependencies import EDGES_SCHEMA, ROLE
from data_synth.tasks.procedural.rules import broken
from data_synth.tasks.procedural.settings import ProceduralRun
from data_synth.tasks.procedural.sources import Imported, Questions, Source
from data_synth.tasks.procedural.wording import prompt
from data_synth.tasks.procedural.workflow import Candidate, GoldPlan, Subtask, Workflow
from data_synth.tasks.toolbox import Toolbox
from recipes.command import InputError

GENERATOR = "procedural 1"
"""Name and version; the version rises whenever the same seed gives other bytes."""


class ProceduralTask:
    """Makes rows of both subtasks in turn, from every source that has them in turn."""

    generator = GENERATOR

    def __init__(self, settings: ProceduralRun) -> None:
        self.settings, self.options = settings, settings.procedural
        self.toolbox = Toolbox.open(settings)
        self.sources = [self._open(name) for name in self.options.sources]
        self.subtasks = tuple(kind for kind in self.options.subtasks if self._offered(kind))
        if not self.subtasks:
            raise InputError(
                f"procedural.subtask={self.options.subtask}: no source has such rows in language={settings.language};"
                " add decomposition (tools) or questions (qa) to procedural.sources"
            )
        self._pools: dict[tuple[Subtask, str], list[Candidate]] = {}

    def domain(self, index: int) -> str:
        """``procedural/<subtask>``."""
        return f"procedural/{in_turn(self.subtasks, index)[0]}"

    def attempt(self, index: int, attempt: int) -> Attempt:
        """Row ``index``; random numbers come from (seed, task, subtask, its turn, attempt) alone."""
        subtask, turn = in_turn(self.subtasks, index)
        stream = f"{self.settings.seed}/procedural/{subtask}/{turn}/{attempt}"
        language = self.toolbox.language(turn)
        sources = [source for source in self.sources if source.offers(subtask, language)]
        if not sources:
            return Attempt(text_digest(stream), "no_source", {"language": language})
        source = sources[turn // len(self.toolbox.languages) % len(sources)]
        try:
            gold = source.draw(subtask, language, self._size(subtask, turn), turn + attempt * STRIDE, stream)
            edges = self._edges(gold, Random(f"{stream}/edges"))
        except AnswerError as error:
            return Attempt(text_digest(stream), error.reason, {"detail": error.detail})
        fingerprint = text_digest(f"{subtask}/{gold.structure}")
        workflow = self._workflow(gold, edges, Random(f"{stream}/candidates"))
        if self.settings.split not in ("all", self._split(gold, workflow, fingerprint)):
            return Attempt(fingerprint, "other_split", {})
        reason = broken(gold, workflow)
        if reason is not None:
            return Attempt(fingerprint, reason, {"gold": dataclasses.asdict(gold), "edges": list(edges)})
        row = self._row(gold, workflow, turn, Random(f"{stream}/text"))
        row["meta"] = self._meta(gold, workflow, fingerprint)
        return Attempt(fingerprint, None, row)

    def _edges(self, gold: GoldPlan, rng: Random) -> Edges:
        """The gold graph; where the source has the sequence alone, the dependencies that the model sees in it."""
        if gold.edges is not None:
            return gold.edges
        steps = [node.text for node in gold.nodes]
        answer = ask(
            self.toolbox.model,
            ROLE,
            EDGES_SCHEMA,
            rng.getrandbits(32),
            gold.language,
            task=gold.task,
            steps=steps,
        )
        pairs = [(a, b) for a, b in answer["edges"]]
        if any(not (1 <= n <= len(steps)) for pair in pairs for n in pair):
            raise AnswerError("edge_without_node", str(pairs))
        return close(len(steps), pairs)

    def _workflow(self, gold: GoldPlan, edges: Edges, rng: Random) -> Workflow:
        span = self.options.num_distractors
        number, pool = rng.randint(span.min, span.max), self._pool(gold.kind, gold.language)
        candidates = choose_candidates(gold, pool, number, self.options.related_share, rng)
        return Workflow(gold.nodes, edges, candidates)

    def _row(self, gold: GoldPlan, workflow: Workflow, turn: int, rng: Random) -> dict[str, Any]:
        texts = [node.text for node in workflow.nodes]
        settings = self.settings
        return {
            "id": f"procedural-{gold.kind}-{settings.split}-{settings.seed}-{turn:06d}",
            "task": "procedural",
            "subtask": gold.kind,
            "messages": [
                *prompt(gold, workflow, rng),
                {"role": "assistant", "content": write(texts, workflow.edges)},
            ],
            "tools": [],
            "gold": {
                "nodes": texts,
                "edges": [list(edge) for edge in ordered(workflow.edges)],
                "actions": [list(node.actions) for node in workflow.nodes],
                "order": topological_order(len(texts), workflow.edges),
                "candidates": [candidate.name for candidate in workflow.candidates],
                "plan": dict(gold.record),
            },
        }

    def _meta(self, gold: GoldPlan, workflow: Workflow, fingerprint: str) -> dict[str, Any]:
        return {
            "seed": self.settings.seed,
            "generator": GENERATOR,
            "operators": list(gold.operators),
            "certificate": {
                "rules": "passed",
                "num_nodes": len(workflow.nodes),
                "num_edges": len(workflow.edges),
            },
            "instance": fingerprint,
            "language": gold.language,
            "split": self._split(gold, workflow, fingerprint),
            "model": self.toolbox.model.name,
            "source": gold.source,
            "licence": gold.licence,
            "tools": list(gold.actions()) if gold.kind == "tools" else [],
            "distractors": len(workflow.candidates) - len({*gold.actions(), *(c.name for c in gold.own)}),
        }

    def _split(self, gold: GoldPlan, workflow: Workflow, fingerprint: str) -> str:
        """By all tools shown for plans of ours, which are of the split's tools; by the instance for others."""
        if gold.source == Decomposed.name:
            return self.toolbox.split_of(candidate.name for candidate in workflow.candidates)
        return split_of(fingerprint, self.settings.test_share, self.settings.validation_share)

    def _open(self, name: str) -> Source:
        if name == "questions":
            return Questions(self.toolbox)
        if name == Decomposed.name:
            return Decomposed(self.toolbox, self.options.compose)
        return Imported(Path(name))

    def _offered(self, kind: Subtask) -> bool:
        return any(source.offers(kind, code) for source in self.sources for code in self.toolbox.languages)

    def _pool(self, kind: Subtask, language: str) -> list[Candidate]:
        """What all sources' plans of a kind use, each name once; of tools, those of the run's split."""
        key = (kind, language)
        if key not in self._pools:
            offered = [c for source in self.sources for c in source.pool(kind, language)]
            named = {candidate.name: candidate for candidate in offered if self._suits(kind, candidate.name)}
            self._pools[key] = list(named.values())
        return self._pools[key]

    def _suits(self, kind: Subtask, name: str) -> bool:
        return kind == "qa" or self.settings.split in ("all", self.toolbox.split_of([name]))

    def _size(self, subtask: Subtask, turn: int) -> int:
        """Sizes take turns, so that rejection does not favour the small ones."""
        span = self.options.num_nodes.qa if subtask == "qa" else self.options.num_nodes.tools
        return span.min + turn // len(self.toolbox.languages) % (span.max - span.min + 1)
