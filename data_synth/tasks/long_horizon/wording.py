"""A row's system prompt and its special tool."""

from __future__ import annotations

from random import Random
from typing import Any

from data_synth.tasks.long_horizon.roles import Setup
from data_synth.tasks.long_horizon.trajectory import REPLY

_FORMAT = '<think>…</think><tool_call>{"name": …, "arguments": {…}}</tool_call>'
_SYSTEM = {
    "en": (
        "You are an assistant that gets things done for a user over a long conversation by calling tools.\n"
        "In every message think first, then make exactly one tool call:\n{format}\n"
        "To speak to the user, call reply. Rules:\n{rules}",
        "Carry out the user's requests with the tools you are given, one call per message. Keep track of what earlier"
        " calls returned: later ones need it.\nWrite each message as {format}\nThe tool reply talks to the user; use"
        " it to ask for missing information and to report results.\n{rules}",
        "You operate a set of APIs on behalf of one user. The conversation goes on until everything that the user"
        " wants is done.\nMessage format: {format}\nGuidelines:\n{rules}\nQuestions and reports to the user go through"
        " the tool reply.",
    ),
    "zh": (
        "你是一名助手，在一段较长的对话中通过调用工具为用户办事。\n每条消息先思考，再恰好调用一个工具：\n{format}\n"
        "要对用户说话时，调用reply。规则：\n{rules}",
        "请用所给的工具完成用户的各项请求，每条消息只调用一次工具。请记住之前调用返回的结果，后面会用到。\n"
        "每条消息的格式：{format}\n工具reply用来与用户对话，可以询问缺失的信息或汇报结果。\n{rules}",
        "你代表一位用户操作一组接口，直到用户的所有事情都办完为止。\n消息格式：{format}\n注意事项：\n{rules}\n"
        "向用户提问或汇报都通过工具reply进行。",
    ),
}
_REPLY = {
    "en": ("Talk to the user: ask for missing information, or report results.", "What to say."),
    "zh": ("与用户对话：询问缺失的信息，或汇报结果。", "要说的内容。"),
}


def system_prompt(setup: Setup, language: str, rng: Random) -> str:
    """Role, format and the task's rules."""
    rules = "\n".join(f"- {rule}" for rule in setup.rules)
    return rng.choice(_SYSTEM[language]).format(format=_FORMAT, rules=rules)


def reply_tool(language: str) -> dict[str, Any]:
    """The special tool, as a row's ``tools`` holds it."""
    description, content = _REPLY[language]
    properties = {"content": {"type": "string", "description": content}}
    parameters = {"type": "object", "properties": properties, "required": ["content"]}
    return {
        "type": "function",
        "function": {"name": REPLY, "description": description, "parameters": parameters},
    }
