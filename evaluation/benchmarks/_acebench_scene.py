"""ACEBench's agent scenes: a model calls a simulated phone or airline, alone or talking to a simulated user.

The loops, what each side gets to see and what is kept for the verdict are the official ones (chenchen0103/ACEBench
56dd66c, MIT), oddities included:

- an agent alone doesn't see its own commands, only their results, and whatever it says is executed;
- an agent with a user is taken at its word where its whole text can be read as calls, otherwise it talks to the user;
- a call that nobody knows returns what the call before it in the same command returned;
- where a command fails beside a user, the agent is told so letter by letter, and the commands before it stay done.

English scenes are asked in English, as the official runner for local models does; its runner for APIs asks an agent
alone in Chinese in both languages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.benchmarks import Chat, Message
from evaluation.benchmarks._acebench_calls import Call, UnreadableError, read_command
from evaluation.benchmarks._acebench_phone import BaseApi, FoodPlatform, MessageApi, ReminderApi
from evaluation.benchmarks._acebench_prompts import Prompts
from evaluation.benchmarks._acebench_travel import Travel

MACHINES = {machine.__name__: machine for machine in (BaseApi, MessageApi, ReminderApi, FoodPlatform, Travel)}
FINISHED = "finish conversation"
_UNREADABLE = "Please do not ask me any questions, use the known conditions to solve the problem"
_UNBOUND = "cannot access local variable 'func_call_result' where it is not associated with a value"
_FAILED = "Error during execution: "
_TOO_LONG = "a number of too many digits"  # where the official executor itself fails


@dataclass(frozen=True)
class Scene:
    """What a scene begins with.

    Attributes:
        question: the task of an agent alone; the simulated user's instruction otherwise.
        functions: the schemas that the agent is told.
        classes: the machines that the scene involves, by name.
        config: the machines' initial states, of which only ``BaseApi`` counts.
    """

    language: str
    question: str
    functions: Sequence[Any]
    classes: Sequence[str]
    config: dict[str, Any]


@dataclass
class World:
    """The machines of a scene, and the commands they were given."""

    scene: Scene
    machines: dict[str, BaseApi | Travel] = field(init=False)
    commands: list[str] = field(default_factory=list)
    used: bool = False

    def __post_init__(self) -> None:
        config = self.scene.config.get("BaseApi", {})
        self.machines = {name: MACHINES[name](self.scene.language, config) for name in self.scene.classes}

    def execute(self, text: str, alone: bool) -> list[Any] | str:
        """Do what ``text`` commands; the result of each call, or why there is none."""
        self.commands.append(text)
        try:
            calls = _read(text)
        except UnreadableError:
            return _UNREADABLE
        results: list[Any] = []
        before: tuple[Any, ...] = ()
        for name, arguments in calls:
            try:
                for method in self._methods(name):
                    before = (method(**_evaluated(arguments)),)
                if not before:
                    raise UnboundLocalError(_UNBOUND)
                results.append(before[0])
            except Exception as error:  # whatever a machine raises is for the agent to read
                if not alone:
                    return list(_FAILED + "{str(e)}")
                results.append(f"{_FAILED}{error}")
        self.used = True
        return [_told(result) for result in results]

    def _methods(self, name: str) -> list[Any]:
        """The machines' methods of this name; every machine can turn the wifi on."""
        owner, _, name = name.rpartition(".")
        found = []
        for machine in self.machines.values():
            hidden = self.scene.language == "en" and name in machine.chinese_only
            method = None if name.startswith("_") or hidden else getattr(machine, name, None)
            found += [method] if callable(method) else []
        if owner and found:
            raise NameError(f"name {owner.split('.')[0]!r} is not defined")
        return found

    def result(self) -> list[dict[str, Any]]:
        """The states that the verdict is on: of every machine, once a command could be executed."""
        if not self.used:
            return []
        return [
            {name: {key: _plain(getattr(machine, key)) for key in machine.saved}}
            for name, machine in self.machines.items()
        ]


def _read(text: str) -> list[tuple[str, Call]]:
    """(name, arguments) of the calls that the official executor would get to run.

    Raises:
        UnreadableError: it wouldn't get to run any.
    """
    calls = [item for call in read_command(text) for item in call.items()]
    for _, arguments in calls:
        for value in arguments.values():
            _check_writable(value)
    return calls


def _check_writable(value: Any) -> None:
    """Whether the official executor could write an argument down again: objects become calls of their first key.

    Raises:
        UnreadableError: an object that doesn't look like a call, or a number of too many digits.
    """
    if isinstance(value, dict):
        arguments = next(iter(value.values()), None)
        if not isinstance(arguments, dict):
            raise UnreadableError("an object as an argument")
        for entry in arguments.values():
            _check_writable(entry)
        return
    try:
        repr(value)
    except (ValueError, RecursionError):
        raise UnreadableError("an argument that can't be written down") from None


def _evaluated(arguments: Call) -> dict[str, Any]:
    """The arguments as Python would evaluate them, written down.

    Raises:
        NameError: a nested call, or a number that isn't finite.
        SyntaxError: arguments without a name.
    """
    for name, value in arguments.items():
        if name is None:
            raise SyntaxError("invalid syntax")
        if isinstance(value, dict):
            raise NameError(f"name {next(iter(value))!r} is not defined")
        if isinstance(value, float) and not math.isfinite(value):
            raise NameError(f"name {repr(value).lstrip('-')!r} is not defined")
    return arguments


def _told(result: Any) -> Any:
    """A result as the agent reads it: JSON where its text is JSON, its text otherwise."""
    text = _text(result)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(result: Any) -> str:
    for write in (json.dumps, str) if isinstance(result, dict) else (str,):
        try:
            return write(result)
        except (TypeError, ValueError, RecursionError):
            continue
    return _TOO_LONG


def _plain(value: Any) -> Any:
    """``value`` as JSON has it; what JSON doesn't know as Python writes it."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else repr(value)


async def play_alone(scene: Scene, prompts: Prompts, most_messages: int, chat: Chat) -> dict[str, Any]:
    """An agent works on its task until it says that it is done, for so many messages at most."""
    world, heard = World(scene), f"user:{scene.question}\n"
    dialogue = [{"sender": "user", "message": scene.question}]
    for index in range(most_messages):
        if index % 2 == 0:
            said: Any = await _agent_says(scene, prompts.step_system, prompts.step_user, heard, chat)
        else:
            said = world.execute(dialogue[-1]["message"], alone=True)
            heard += f"execution result:{said}\n"
        dialogue.append({"sender": "execution" if index % 2 else "agent", "message": said})
        if index > 1 and FINISHED in said:
            break
    return {"result": world.result(), "process": world.commands, "dialogue": dialogue}


async def play_with_user(
    scene: Scene, prompts: Prompts, most_messages: int, user_role: str, chat: Chat
) -> dict[str, Any]:
    """An agent and a simulated user talk until one of them says that it is done.

    Args:
        user_role: the role under which the simulator reads what it said itself.
    """
    on_phone = "BaseApi" in scene.classes
    rules = (prompts.travel_rules if "Travel" in scene.classes else "") + (
        prompts.phone_rules if on_phone else ""
    )
    instruction = (prompts.phone_owner if on_phone else prompts.travel_customer).format(
        instruction=scene.question
    )
    talk: list[Message] = [
        {"role": "system", "content": instruction},
        {"role": "user", "content": prompts.greeting},
    ]
    talk.append({"role": user_role, "content": (await chat.ask(talk, role="user")).text})
    world, heard = World(scene), f"user:{talk[-1]['content']}\n"
    dialogue: list[dict[str, Any]] = [{"sender": "user", "message": talk[-1]["content"]}]
    sender = "agent"
    for index in range(most_messages):
        said: Any
        if sender == "agent":
            said = await _agent_says(scene, prompts.turn_system + rules, prompts.turn_user, heard, chat)
        elif sender == "execution":
            said = world.execute(dialogue[-1]["message"], alone=False)
        else:
            talk.append({"role": "user", "content": _without_role(dialogue[-1]["message"])})
            said = (await chat.ask(talk, role="user")).text
            talk.append({"role": user_role, "content": said})
        heard += f"{sender}:{said}\n"
        dialogue.append({"sender": sender, "message": said})
        if index > 1 and FINISHED in said:
            break
        sender = "agent" if sender != "agent" else "execution" if _is_command(said) else "user"
    return {"result": world.result(), "process": world.commands, "dialogue": dialogue}


async def _agent_says(scene: Scene, system: str, template: str, heard: str, chat: Chat) -> str:
    content = template.format(functions=scene.functions, history=heard)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": content}]
    return (await chat.ask(messages)).text


def _without_role(text: str) -> str:
    return text[5:] if text.startswith("user:") else text.removeprefix("agent:")


def _is_command(text: str) -> bool:
    """Whether brackets close on a line of ``text`` and all of it can be read as calls."""
    if not any(-1 < line.find("[") < line.rfind("]") for line in text.split("\n")):
        return False
    try:
        _read(text)
    except UnreadableError:
        return False
    return True
