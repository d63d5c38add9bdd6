"""ALFWorld (Shridhar et al. 2020, arXiv 2010.03768): household tasks in text, played by the real engine.

A ReAct agent thinks and names one admissible action a turn, 50 turns at most; one that isn't admissible changes
nothing and counts as a turn. A prediction is the list of turns, ``{"action", "text"}`` each or the action alone;
scoring plays them again, so that a verdict needs nothing but the games. ``data=`` is the folder of the official
download (``json_2.1.1``), or one that ``magic_megatron.rl.envs.make_games`` built: scores on built games aren't
comparable with published ones and are labelled ``built``.

Over several trials ``success`` is the mean over all games and ``success_best`` the highest success rate of a trial, of
those that have every game that the largest has. The
paper's best and converged figures (Table 5) are over the checkpoints of a training run: for each of five seeds the
highest success rate, or that of the last fifth, then the mean over seeds; ``python -m magic_megatron.rl.report`` has
them. For a finished model Table 5 gives one figure, which is ``success``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from evaluation.benchmarks import Chat, Judged, Source, Verdict
from evaluation.benchmarks._alfworld_host import GameLostError, Host, Hosts, Rules, State
from evaluation.benchmarks._alfworld_prompts import (
    Past,
    official_action,
    official_observation,
    official_prompt,
    whole_answer,
)
from evaluation.client import RequestFailedError
from recipes.command import InputError

KEYS_BESIDE_ANSWERS = frozenset({"options.num_processes", "options.load_timeout_s", "options.step_timeout_s"})
SPLITS = {"seen": "valid_seen", "unseen": "valid_unseen"}
"""``subtask=`` and ALFWorld's folder for it."""


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class Options:
    """``options`` of ``recipes/benchmark/alfworld.yaml``."""

    environment: str
    prompt: Literal["official", "environment"]
    task_types: list[str] | None
    max_steps: int
    history_length: int
    num_processes: int
    load_timeout_s: float
    step_timeout_s: float


@dataclass(frozen=True)
class _Outcome:
    """How a game went."""

    won: bool
    num_steps: int
    num_invalid: int


class Alfworld:
    """The games of one split or of both."""

    def __init__(self, hosts: Hosts, options: Options, instances: Sequence[dict[str, Any]]) -> None:
        self._hosts = hosts
        self._options = options
        self._instances = {instance["id"]: instance for instance in instances}
        self._played: dict[tuple[str, tuple[str | None, ...]], _Outcome] = {}
        self.ids = tuple(self._instances)

    async def play(self, sample_id: str, chat: Chat) -> list[dict[str, Any]]:
        """The turns of a game, to the win or the last step.

        Raises:
            RequestFailedError: the game's process crashed, hung or failed.
        """
        try:
            async with self._hosts.place() as host:
                return await self._play(sample_id, chat, host)
        except GameLostError as error:
            raise RequestFailedError(f"game lost: {error}", "sample") from None

    async def _play(self, sample_id: str, chat: Chat, host: Host) -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = []
        past: list[Past] = []
        num_invalid = 0
        state = await self._hosts.do(host.reset, self._instances[sample_id])
        while not state.done:
            reply = await chat.ask(self._prompt(state, past))
            answer = whole_answer(reply)
            if self._options.prompt == "official":
                action: str | None = official_action(answer)
            else:
                action = await self._hosts.do(host.parse, answer)
            turns.append({"action": action, "text": reply.text})
            past.append(Past(official_observation(state.scene, not past), action or ""))
            state = await self._hosts.do(host.step, action)
            num_invalid += not state.valid
        actions = tuple(turn["action"] for turn in turns)
        self._played[sample_id, actions] = _Outcome(state.won, len(turns), num_invalid)
        return turns

    def _prompt(self, state: State, past: Sequence[Past]) -> list[dict[str, Any]]:
        if self._options.prompt == "official":
            return official_prompt(state.scene, past, self._options.history_length)
        return list(state.scene.prompt)

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """1 iff the actions win the game within the steps allowed; what comes after is left out.

        A game that this process has just played isn't played again for the same actions. One whose process crashes
        or hangs scores 0 with ``lost`` in its details, and counts in no metric.
        """
        actions = _actions(prediction)
        instance = self._instances[sample_id]
        facts = {"task_type": _task_type(instance), "built": bool(instance.get("built"))}
        if actions is None:
            return Verdict(0, "no list of actions", facts)
        try:
            outcome = self._played.get((sample_id, actions)) or self._replay(instance, actions)
        except GameLostError as error:
            return Verdict(0, f"game lost: {error}", facts | {"lost": True})
        figures = f"{outcome.num_steps} steps, {outcome.num_invalid} of them invalid"
        return Verdict(
            float(outcome.won),
            f"{'won' if outcome.won else 'not won'}: {figures}",
            facts | {"num_steps": outcome.num_steps, "num_invalid": outcome.num_invalid},
        )

    def _replay(self, instance: dict[str, Any], actions: Sequence[str | None]) -> _Outcome:
        num_steps = num_invalid = 0
        with self._hosts.host() as host:
            state = host.reset(instance)
            for action in actions:
                if state.done:
                    break
                state = host.step(action)
                num_steps += 1
                num_invalid += not state.valid
        return _Outcome(state.won, num_steps, num_invalid)

    def gold(self, sample_id: str) -> list[str] | None:
        """The plan that lies beside a built game; there is none beside an official one."""
        game = self._instances[sample_id].get("game")
        plan = Path(game).with_name("plan.json") if isinstance(game, str) else None
        return json.loads(plan.read_bytes()) if plan and plan.is_file() else None

    def group(self, sample_id: str) -> str:
        """The task type; games that were built say so."""
        instance = self._instances[sample_id]
        return _task_type(instance) + (" (built)" if instance.get("built") else "")

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """``success``, ``mean_steps``; ``success_best`` over trials, ``share_built`` and ``share_lost`` if any."""
        figures: dict[str, float] = {}
        kept = [each for each in judged if "lost" not in each.verdict.details]
        if kept:
            figures["success"] = _mean([_score(each) for each in kept])
            trials = _trials(kept)
            if len(trials) > 1:
                whole = max(trials, key=len).keys()
                figures["success_best"] = max(
                    _mean([*trial.values()]) for trial in trials if trial.keys() == whole
                )
        played = [each.verdict.details for each in kept if "num_steps" in each.verdict.details]
        if played:
            figures["mean_steps"] = _mean([details["num_steps"] for details in played])
        labels = {
            "built": [bool(self._instances[each.id].get("built")) for each in judged],
            "lost": ["lost" in each.verdict.details for each in judged],
        }
        return figures | {f"share_{label}": _mean(marks) for label, marks in labels.items() if any(marks)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _score(judged: Judged) -> float:
    assert isinstance(judged.verdict.score, int | float)
    return judged.verdict.score


def _trials(judged: Sequence[Judged]) -> list[dict[str, float]]:
    """Scores by id, of each trial."""
    trials: dict[int, dict[str, float]] = defaultdict(dict)
    for each in judged:
        trials[each.trial][each.id] = _score(each)
    return list(trials.values())


def _task_type(instance: dict[str, Any]) -> str:
    return str(instance.get("task_type", "type not given"))


def _actions(prediction: Any) -> tuple[str | None, ...] | None:
    """The actions of a prediction, None for a turn without one; None if it is no list."""
    if not isinstance(prediction, list):
        return None
    entries = [turn.get("action") if isinstance(turn, dict) else turn for turn in prediction]
    return tuple(entry if isinstance(entry, str) else None for entry in entries)


def load(source: Source) -> Alfworld:
    """Find the games below ``data/valid_seen`` and ``data/valid_unseen``.

    Raises:
        InputError: no such subtask, no games, or no environment to play them in.
    """
    if source.subtask not in (None, *SPLITS):
        raise InputError(f"subtask={source.subtask}: alfworld has seen and unseen; leave it out for both")
    if source.data is None:
        raise InputError(
            "data=null: alfworld needs its games; download them (alfworld-download) and give json_2.1.1, or build "
            "some with python -m magic_megatron.rl.envs.make_games"
        )
    options = _options(source)
    folder = Path(source.data).resolve()
    wanted = [SPLITS[source.subtask]] if source.subtask else list(SPLITS.values())
    splits = [split for split in wanted if (folder / split).is_dir()]
    if not splits:
        raise InputError(f"data={source.data}: has no folder {' or '.join(wanted)}; see docs/alfworld.md")
    shared = {key: value for key, value in asdict(options).items() if key in Rules.__dataclass_fields__}
    rules = Rules(games=str(folder), **shared)
    hosts = Hosts(rules, options.num_processes)
    try:
        with hosts.host() as host:
            instances = [instance for split in splits for instance in host.instances(split)]
    except GameLostError as error:
        raise InputError(f"data={source.data}: can't be read ({error}); see docs/alfworld.md") from None
    except InputError as error:  # of an environment that calls the folder env.games
        raise InputError(str(error).replace("env.games=", "data=", 1)) from None
    return Alfworld(hosts, options, instances)


def _options(source: Source) -> Options:
    try:
        options = TypeAdapter(Options).validate_python(dict(source.options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["options", *(str(part) for part in first["loc"])])
        raise InputError(f"{key}: {first['msg']}; see recipes/benchmark/alfworld.yaml") from None
    for key in ("max_steps", "num_processes", "load_timeout_s", "step_timeout_s"):
        if getattr(options, key) <= 0:
            raise InputError(f"options.{key}={getattr(options, key)}: must be above 0; try options.{key}=50")
    return options
