"""Tool calls as text: the format that Qwen3 was trained on, for servers without a tool parser.

The wording is that of Qwen3's chat template (Qwen/Qwen3-8B, ``tokenizer_config.json``, Apache 2.0), so that a prompt
written here reads to the model as one that a server rendered from native tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

INSTRUCTIONS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def system_text(system: str, schemas: Sequence[dict[str, Any]]) -> str:
    """The system message that offers the tools."""
    tools = "\n".join(json.dumps(schema, ensure_ascii=False) for schema in schemas)
    return f"{system}\n\n{INSTRUCTIONS.format(tools=tools)}"


def read_call(text: str) -> tuple[str, str]:
    """(name, arguments as JSON text) of what stands between the tags.

    Raises:
        ValueError: no JSON object with a name; the message is meant for the model.
    """
    try:
        call = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the call is no JSON ({_reason(error)})") from None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise ValueError('the call is no JSON object with "name" and "arguments"')
    arguments = call.get("arguments", {})
    return call["name"], arguments if isinstance(arguments, str) else json.dumps(arguments)


def responses_text(results: Iterable[str]) -> str:
    """The user message that gives the results back, in the order of the calls."""
    return "\n".join(f"<tool_response>\n{result}\n</tool_response>" for result in results)


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
