"""Which prompts ACEBench has in each language."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompts:
    """Templates of ``str.format``.

    Attributes:
        normal, special: system prompts of one answer, with ``time`` and ``function``.
        preference: the same with ``profile`` and ``function``.
        question: their user prompt, with ``question``.
        step_system, step_user: of an agent that works alone; the latter with ``functions`` and ``history``.
        turn_system, turn_user: of one that talks to a user; its rules follow the system prompt.
        travel_rules, phone_rules: those rules, of the airline and of the phone.
        travel_customer, phone_owner: system prompts of the simulated user, with ``instruction``.
        greeting: what the agent opens with.
    """

    normal: str
    preference: str
    special: str
    question: str
    step_system: str
    step_user: str
    turn_system: str
    turn_user: str
    travel_rules: str
    phone_rules: str
    travel_customer: str
    phone_owner: str
    greeting: str
