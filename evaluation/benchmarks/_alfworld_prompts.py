"""What an agent in ALFWorld is asked, and how its answer is read, as the paper's evaluation does (appendix B).

Templates, history and projection are verl-agent's (langfengQ/verl-agent, Apache-2.0, with the words of the templates
as published): the first turn shows the game's opening, later ones the last observations and actions, all of them the
admissible actions without ``help``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.benchmarks import Message, Reply

_ASK = """Your admissible actions of the current situation are: [{admissible}].

Now it's your turn to take an action.
You should first reason step-by-step about the current situation. This reasoning process MUST be enclosed within \
<think> </think> tags. 
Once you've finished your reasoning, you should choose an admissible action for current step and present it within \
<action> </action> tags.
"""
_FIRST = """
You are an expert agent operating in the ALFRED Embodied Environment.
Your current observation is: {observation}
"""
_LATER = """
You are an expert agent operating in the ALFRED Embodied Environment. Your task is to: {goal}
Prior to this step, you have already taken {num_steps} step(s). Below are the most recent {num_shown} observaitons \
and the corresponding actions you took: {history}
You are now at step {step} and your current observation is: {observation}
"""
_OPENING = "-= Welcome to TextWorld, ALFRED! =-\n\n{scene}\n\nYour task is to: {goal}"
_TAIL = 30


@dataclass(frozen=True)
class Scene:
    """What the agent sees before an action. ``prompt`` is the chat that the environment itself would ask."""

    text: str
    goal: str
    admissible: tuple[str, ...]
    prompt: tuple[Message, ...]


@dataclass(frozen=True)
class Past:
    """A turn that lies behind: what was seen, in the official words, and what was done."""

    observation: str
    action: str


def official_observation(scene: Scene, is_first: bool) -> str:
    """The text of TextWorld's own engine; the environment gives scene and goal of the opening apart."""
    return _OPENING.format(scene=scene.text, goal=scene.goal) if is_first else scene.text


def official_prompt(scene: Scene, past: Sequence[Past], history_length: int) -> list[Message]:
    """verl-agent's chat of one turn; ``past`` holds all turns of the game."""
    ask = _ASK.format(admissible="\n ".join(f"'{action}'" for action in scene.admissible))
    observation = official_observation(scene, not past)
    if not past or history_length <= 0:
        return [{"role": "user", "content": _FIRST.format(observation=observation) + ask}]
    shown = past[-history_length:]
    history = "\n".join(
        f"[Observation {number}: '{turn.observation}', Action {number}: '{turn.action}']"
        for number, turn in enumerate(shown, len(past) - len(shown) + 1)
    )
    story = _LATER.format(
        goal=scene.goal,
        num_steps=len(past),
        num_shown=len(shown),
        history=history,
        step=len(past) + 1,
        observation=observation,
    )
    return [{"role": "user", "content": story + ask}]


def official_action(answer: str) -> str:
    """verl-agent's projection: what stands between the first tags, in lower case; else the answer's end.

    A thought that is missing costs a reward there and nothing here: the action is done all the same.
    """
    text = answer.lower()
    start, end = text.find("<action>"), text.find("</action>")
    if start < 0 or end < 0:
        return text[-_TAIL:]
    return text[start + len("<action>") : end].strip()


def whole_answer(reply: Reply) -> str:
    """The answer with a thought before it where the endpoint, or its client, took the thought out."""
    text = reply.text.strip()
    return text if reply.reasoning is None or text.startswith("<think>") else f"<think></think>{text}"
