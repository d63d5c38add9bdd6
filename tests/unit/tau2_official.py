"""τ²-bench's own orchestrator, agent and user simulator inside its environment, with given answers for the models."""

from __future__ import annotations

from typing import Any

import evaluation._worker.tau2_domains as domains  # before the package: it keeps litellm out

# isort: split
from tau2.agent import llm_agent
from tau2.data_model.message import AssistantMessage, ToolCall
from tau2.evaluator.evaluator import EvaluationType, evaluate_simulation
from tau2.orchestrator import orchestrator
from tau2.registry import registry
from tau2.user import user_simulator


def play(
    domain: str, task_id: str, agent: list[Any], user: list[Any], max_steps: int, max_errors: int
) -> dict[str, Any]:
    """The official simulation, its reward, and what each side was shown at each turn.

    An answer is {"text": …} or {"calls": [[name, arguments], …]}; when a side has no more, it says what it said last.
    """
    shown: list[list[Any]] = []
    orchestrator.get_cost = lambda messages: None
    llm_agent.generate = _model("agent", agent, shown, numbers := [0])
    user_simulator.generate = _model("user", user, shown, numbers)
    environment = registry.get_env_constructor(domain)()
    task = domains._tasks(domain, None)[task_id]
    user_tools = environment.get_user_tools() if environment.user_tools else None
    run = orchestrator.Orchestrator(
        domain=domain,
        agent=llm_agent.LLMAgent(environment.get_tools(), environment.get_policy(), llm="-"),
        user=user_simulator.UserSimulator(tools=user_tools, instructions=str(task.user_scenario), llm="-"),
        environment=environment,
        task=task,
        max_steps=max_steps,
        max_errors=max_errors,
    ).run()
    reward = evaluate_simulation(run, task, EvaluationType.ALL, solo_mode=False, domain=domain)
    return {
        "reward": reward.reward,
        "ending": run.termination_reason.value,
        "messages": [_plain(message) for message in run.messages],
        "shown": shown,
        "simulation": run.model_dump(mode="json"),
    }


def _model(role: str, answers: list[Any], shown: list[list[Any]], numbers: list[int]) -> Any:
    left = list(answers)

    def generate(model: str, messages: list[Any], tools: Any = None, **_: Any) -> AssistantMessage:
        shown.append(
            [role, [_plain(message) for message in messages], [tool.openai_schema for tool in tools or []]]
        )
        answer = left.pop(0) if len(left) > 1 else left[0]
        calls = []
        for name, arguments in answer.get("calls", []):
            numbers[0] += 1
            calls.append(ToolCall(id=f"call_{numbers[0]}", name=name, arguments=arguments))
        return AssistantMessage(
            role="assistant", content=answer.get("text"), tool_calls=calls or None, cost=0.0
        )

    return generate


def _plain(message: Any) -> list[Any]:
    calls = getattr(message, "tool_calls", None) or []
    return [
        message.role,
        message.content,
        getattr(message, "id", None),
        [[call.id, call.name, call.arguments] for call in calls],
    ]
