"""One attempt at a scheduling row: the paper's five stages in order."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from data_synth.tasks.base import Attempt, Split, in_turn, split_of
from data_synth.tasks.scheduling.calendar import CalendarPuzzle
from data_synth.tasks.scheduling.language import Text, put_into_words, statement
from data_synth.tasks.scheduling.meeting import MeetingPuzzle
from data_synth.tasks.scheduling.natural_plan import (
    NUM_EXAMPLES,
    official_fields,
    prompt_with_examples,
    prompt_without_examples,
    short_prompt,
)
from data_synth.tasks.scheduling.puzzle import Instance, Solved
from data_synth.tasks.scheduling.settings import SchedulingSettings
from data_synth.tasks.scheduling.trip import TripPuzzle

GENERATOR = "scheduling 1"
"""Name and version; the version rises whenever the same seed gives other bytes."""
OFFICIAL_LANGUAGE = "en"
"""NaturalPlan's scorer reads English alone: its fields are English in every row."""


class SchedulingTask:
    """Makes rows of the three subtasks in turn."""

    generator = GENERATOR

    def __init__(self, settings: SchedulingSettings) -> None:
        self.settings = settings
        level = settings.difficulty
        self.puzzles: dict[str, Any] = {
            "calendar": CalendarPuzzle(level.calendar),
            "meeting": MeetingPuzzle(level.meeting),
            "trip": TripPuzzle(level.trip),
        }
        self._examples: dict[tuple[str, str], list[Text]] = {}

    def domain(self, index: int) -> str:
        """``scheduling/<subtask>``."""
        return f"scheduling/{in_turn(self.settings.subtasks, index)[0]}"

    def attempt(self, index: int, attempt: int) -> Attempt:
        """Row ``index``; random numbers come from (seed, task, subtask, its turn, attempt) alone."""
        subtask, turn = in_turn(self.settings.subtasks, index)
        stream = f"{self.settings.seed}/scheduling/{subtask}/{turn}/{attempt}"
        puzzle = self.draw(subtask, self.size(subtask, turn), Random(stream))
        fingerprint = puzzle.fingerprint()
        split = self._split(fingerprint)
        if self.settings.split not in ("all", split):
            return Attempt(fingerprint, "other_split", {})
        solved, reason = examine(puzzle)
        if reason is not None:
            return Attempt(fingerprint, reason, {"instance": dataclasses.asdict(puzzle)})
        row = self.integrate(puzzle, solved, subtask, turn, Random(f"{stream}/text"))
        row["meta"] = {
            "seed": self.settings.seed,
            "generator": GENERATOR,
            "operators": [],
            "certificate": self._certify(puzzle, solved, turn, fingerprint),
            "instance": fingerprint,
            "language": self._language(turn),
            "difficulty": self.settings.difficulty.name,
            "size": puzzle.size,
            "split": split,
        }
        return Attempt(fingerprint, None, row)

    def draw(self, subtask: str, size: int, rng: Random) -> Any:
        """Stages 1 to 3."""
        puzzle = self.puzzles[subtask]
        problem = puzzle.construct(size, rng)
        goal = puzzle.fix_goal(problem, rng)
        return puzzle.constrain(problem, goal, rng)

    def integrate(
        self, puzzle: Instance, solved: Solved, subtask: str, turn: int, rng: Random
    ) -> dict[str, Any]:
        """Stage 5: the row, but for its ``meta``."""
        language, short = self._language(turn), self.settings.difficulty.style == "short"
        said = statement(puzzle, solved, language, short)
        text = put_into_words(said, subtask, language, rng, self.settings.reasoning == "steps")
        prompts = self._prompts(text, subtask, language)
        official, official_text, official_prompts = said, text, prompts
        if language != OFFICIAL_LANGUAGE:
            official = statement(puzzle, solved, OFFICIAL_LANGUAGE, short)
            official_text = put_into_words(official, subtask, OFFICIAL_LANGUAGE, rng)
            official_prompts = self._prompts(official_text, subtask, OFFICIAL_LANGUAGE)
        settings = self.settings
        return {
            "id": f"{subtask}-{settings.difficulty.name}-{settings.split}-{settings.seed}-{turn:06d}",
            "task": "scheduling",
            "subtask": subtask,
            "messages": [
                {"role": "user", "content": prompts[f"prompt_{settings.shots}shot"]},
                self._assistant(text),
            ],
            "tools": [],
            "gold": {
                "subtask": subtask,
                "instance": said.gold(),
                "answer": text.answer,
                "natural_plan": official_fields(official, subtask, official_text, official_prompts),
            },
        }

    def _prompts(self, text: Text, subtask: str, language: str) -> dict[str, str]:
        if self.settings.difficulty.style == "short":
            return {"prompt_0shot": short_prompt(text, language)}
        examples = self._solved_examples(subtask, language)
        return {
            "prompt_0shot": prompt_without_examples(text, language),
            "prompt_5shot": prompt_with_examples(text, examples, language),
        }

    def _assistant(self, text: Text) -> dict[str, str]:
        if self.settings.answer_format == "tagged":
            content = f"<think>{text.derivation}</think><answer>{text.answer}</answer>"
            return {"role": "assistant", "content": content}
        message = {"role": "assistant", "content": text.answer}
        if text.derivation:
            message["reasoning_content"] = text.derivation
        return message

    def _solved_examples(self, subtask: str, language: str) -> list[Text]:
        """Five examples that every row of a subtask shares, drawn from the training share."""
        key = (subtask, language)
        if key not in self._examples:
            texts: list[Text] = []
            for draw in range(self.settings.max_attempts):
                rng = Random(f"examples/{subtask}/{language}/{draw}")
                puzzle = self.draw(subtask, self.size(subtask, draw), rng)
                solved, reason = examine(puzzle)
                if reason is None and self._split(puzzle.fingerprint()) == "train":
                    said = statement(puzzle, solved, language, short=False)
                    texts.append(put_into_words(said, subtask, language, rng))
                if len(texts) == NUM_EXAMPLES:
                    break
            self._examples[key] = texts
        return self._examples[key]

    def _certify(self, puzzle: Instance, solved: Solved, turn: int, fingerprint: str) -> dict[str, Any]:
        """The certificate of a unique solution, confirmed by CP-SAT for the sampled share."""
        sampled = turn == 0 or int(fingerprint[-8:], 16) < self.settings.certify_share * 16**8
        confirmed = self.settings.certify == "all" or sampled
        if confirmed:
            from data_synth.tasks.scheduling.certificate import confirm  # takes a second to import

            confirm(puzzle, solved)
        return {
            "num_solutions": solved.num_solutions,
            "objective": solved.objective,
            "solver": solved.solver,
            "nodes": solved.nodes,
            "cp_sat_confirmed": confirmed,
        }

    def _split(self, fingerprint: str) -> Split:
        return split_of(fingerprint, self.settings.test_share, self.settings.validation_share)

    def size(self, subtask: str, turn: int) -> int:
        """Sizes take turns, so that rejection does not favour the small ones."""
        lowest, highest = self.puzzles[subtask].sizes
        return lowest + turn // len(self.settings.languages) % (highest - lowest + 1)

    def _language(self, turn: int) -> str:
        return in_turn(self.settings.languages, turn)[0]


def examine(puzzle: Instance) -> tuple[Solved, str | None]:
    """Stage 4: what was proved, and the reason to reject the puzzle; None if it has one solution."""
    if puzzle.contradiction() is not None:
        return Solved(0, {}, "contradiction", 0, None), "inconsistent"
    solved = puzzle.solve()
    if solved.num_solutions == 0:
        return solved, "unsolvable"
    return solved, "ambiguous" if solved.num_solutions > 1 else None
