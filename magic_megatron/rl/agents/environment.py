"""A game: one answer a turn until it is won, lost to its environment, or over."""

from __future__ import annotations

import json
from typing import Any

from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.rl.agents.base import Agent, TurnOutput
from magic_megatron.rl.envs.base import Environment, Transition, Turn
from magic_megatron.rl.envs.pool import EnvironmentLost, EnvironmentPool
from magic_megatron.rl.envs.registry import environment
from recipes.command import typed


class EnvironmentAgent(Agent):
    """Plays the game of a row's ``extra_info.instance``: one sample per turn, as in EPO.

    An episode's reward is the sum of its turns' rewards. An episode that its environment lost keeps the turns it had,
    masked, so that neither the loss nor its group's advantages see them. One that was lost before its first turn has no
    samples, only a note.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.env: EnvConfig = typed(EnvConfig, self.settings.env)
        self.kind: type[Environment] = environment(self.env.name)

    async def episode(self, sampling_params: dict[str, Any], row: dict[str, Any]) -> list[TurnOutput]:
        instance = json.loads(row["extra_info"]["instance"])
        outputs: list[TurnOutput] = []
        transition: Transition | None = None
        reason = ""
        try:
            session = await EnvironmentPool.connect(self.env).open(instance)
            try:
                transition = await self._play(session, sampling_params, row, outputs)
            finally:
                await session.close()
        except EnvironmentLost as lost:
            reason = f"environment lost: {lost}"
            _mask(outputs)
        if outputs:
            self._conclude(outputs, transition, reason)
        else:
            self.note(row, reason, lost=True)
        return outputs

    async def _play(
        self, session: Any, sampling_params: dict[str, Any], row: dict[str, Any], outputs: list[TurnOutput]
    ) -> Transition:
        """Turns into ``outputs`` until the game is over; its last transition."""
        observation = await session.reset()
        history: list[Turn] = []
        while True:
            messages = self.kind.messages(observation, history, self.env.history_length)
            output = await self.turn(messages, None, sampling_params, row, len(outputs))
            outputs.append(output)
            action = self.kind.parse(self.text(output))
            transition: Transition = await session.step(action)
            output.extra_fields |= {
                "valid": transition.valid,
                "turn_reward": transition.reward,
                "observation": observation.text,
            }
            history.append(Turn(observation.text, action))
            observation = transition.observation
            if transition.done:
                return transition

    def _conclude(self, outputs: list[TurnOutput], transition: Transition | None, reason: str) -> None:
        won = transition is not None and transition.won
        invalid = sum(not output.extra_fields.get("valid") for output in outputs)
        final = outputs[-1]
        final.reward_score = sum(output.extra_fields.get("turn_reward", 0.0) for output in outputs)
        final.extra_fields["reward_extra_info"] = {
            "reason": reason or f"{'won' if won else 'not won'} in {len(outputs)} turns, {invalid} invalid",
            "won": won,
        }


def _mask(outputs: list[TurnOutput]) -> None:
    for output in outputs:
        output.counts = 0
        output.response_mask = [0] * len(output.response_mask)
