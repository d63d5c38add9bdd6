"""What ``evaluation/benchmarks/bfcl_v3.py`` asks of BFCL's package: samples, opening messages, steps and verdicts.

An answer is a text (prompt mode) or a list of ``{name: arguments as JSON text}`` (native calls); the answer to a
sample of several turns is a list of turns, each a list of steps, each an answer.
"""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from bfcl.eval_checker.ast_eval.ast_checker import ast_checker
from bfcl.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
from bfcl.model_handler import constant
from bfcl.model_handler.model_style import ModelStyle
from bfcl.utils import (
    extract_test_category_from_id,
    is_empty_output,
    is_function_calling_format_output,
    is_multi_turn,
    is_relevance_or_irrelevance,
)

from evaluation._worker.bfcl_package import NATIVE, PROMPT, decoder, documents, executor, forget, rows

LANGUAGES = {"java": "Java", "javascript": "JavaScript"}
MAX_SHOWN = 400
"""Characters of a checker's message that a verdict keeps."""
MAX_CPU_S = 10.0
"""For one verdict or step: the converters of Java's and JavaScript's values backtrack for hours on some spaces."""


def catalogue() -> list[list[str]]:
    """(id, category) of every sample."""
    return [[sample_id, extract_test_category_from_id(sample_id)] for sample_id in rows()]


def gold(sample_id: str) -> Any:
    """A sample's possible answers; None where the category has none."""
    return rows()[sample_id]["ground_truth"]


def opening(sample_id: str, mode: str) -> dict[str, Any]:
    """``turns``: each turn's messages; ``tools``: in mode "fc", the functions that can be called in each turn.

    In mode "prompt" the first message lists the functions; those that appear in a later turn are in its message.
    """
    row = copy.deepcopy(rows()[sample_id])
    category = extract_test_category_from_id(sample_id)
    turns, functions, held_back = row["question"], row.get("function", []), {}
    if is_multi_turn(category):
        functions = [
            document for api in row["involved_classes"] for document in copy.deepcopy(documents(api))
        ]
        held_back = _hold_back(functions, row.get("missed_function", {}))
    if mode == "prompt":
        decoder.func_doc_language_specific_pre_processing(functions, category)
        decoder.system_prompt_pre_processing_chat_model(turns[0], functions, category)
        wording = constant.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING
        for number, added in held_back.items():
            turns[number] = [{"role": "user", "content": wording.format(functions=added)}]
        return {"turns": turns, "tools": [[] for _ in turns]}
    tools = [_as_tools(functions, category)]
    for number in range(1, len(turns)):
        if number in held_back:
            functions.extend(held_back[number])
            turns[number] = [
                {"role": "user", "content": constant.DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC}
            ]
        tools.append(_as_tools(functions, category) if number in held_back else tools[-1])
    return {"turns": turns, "tools": tools}


def _hold_back(
    functions: list[dict[str, Any]], missed: dict[str, list[str]]
) -> dict[int, list[dict[str, Any]]]:
    """Take the functions that a later turn adds out of ``functions``; they are returned by the turn's number."""
    held_back: dict[int, list[dict[str, Any]]] = {}
    for number, names in missed.items():
        held_back[int(number)] = []
        for name in names:
            position = next((i for i, function in enumerate(functions) if function["name"] == name), None)
            if position is not None:
                held_back[int(number)].append(functions.pop(position))
    return held_back


def _as_tools(functions: list[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    """``functions`` as OpenAI tools. As officially, each time adds the hint at the language to descriptions again."""
    decoder.func_doc_language_specific_pre_processing(functions, category)
    tools: list[dict[str, Any]] = decoder.convert_to_tool(
        functions, constant.GORILLA_TO_OPENAPI, ModelStyle.OpenAI
    )
    return tools


def step(sample_id: str, mode: str, turns: list[list[Any]]) -> dict[str, Any]:
    """What the simulated APIs reply to the last step of ``turns``, after all steps before it.

    Returns:
        ``calls`` and their ``results``, as many; ``message``: both as prompt mode shows them to the model. Without
        calls the turn is over.
    """
    forget()
    row = rows()[sample_id]
    calls: list[str] = []
    results: list[str] = []
    for answer in (answer for turn in turns for answer in turn):
        calls = _decode_step(answer, mode)
        with _limited(MAX_CPU_S):
            results, _ = executor.execute_multi_turn_func_call(
                func_call_list=calls,
                initial_config=row["initial_config"],
                involved_classes=row["involved_classes"],
                model_name=NATIVE if mode == "fc" else PROMPT,
                test_entry_id=sample_id,
                long_context="long_context" in sample_id,
            )
    message = decoder.format_execution_results_prompting({}, results, {"model_responses_decoded": calls})
    return {"calls": calls, "results": results, "message": message}


def judge(sample_id: str, mode: str | None, prediction: Any) -> dict[str, Any]:
    """``valid``, and why not: the package's ``error_type`` and the beginning of its ``message``."""
    row = rows()[sample_id]
    category = extract_test_category_from_id(sample_id)
    try:
        with _limited(MAX_CPU_S):
            if is_multi_turn(category):
                found = _judge_turns(row, category, mode, prediction)
            else:
                found = _judge_calls(row, category, mode, prediction)
    except Exception as error:  # the official run would end here
        found = _invalid("checker:raised", f"{type(error).__name__}: {error}")
    message = found.get("error_message") or found.get("error") or ""
    told = message[0] if isinstance(message, list) and message else message
    return {
        "valid": bool(found["valid"]),
        "error_type": None if found["valid"] else found["error_type"],
        "message": ("" if found["valid"] else str(told))[:MAX_SHOWN],
    }


@contextmanager
def _limited(cpu_s: float) -> Iterator[None]:
    """Raise TimeoutError in the block after so much processor time, whatever else the machine does."""

    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {cpu_s:g} s of computing")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _judge_calls(row: dict[str, Any], category: str, mode: str | None, answer: Any) -> dict[str, Any]:
    language = LANGUAGES.get(category, "Python")
    try:
        calls, fault = _decode(answer, mode, language), None
    except Exception as error:
        calls, fault = None, f"Invalid syntax. Failed to decode AST. {error}"
    if is_relevance_or_irrelevance(category):
        has_call = fault is None and not is_empty_output(calls)
        if "irrelevance" in category:
            return (
                _invalid("irrelevance_error:decoder_success", "a call where none fits")
                if has_call
                else _VALID
            )
        return _VALID if has_call else _invalid("relevance_error:decoder_failed", fault or "no call")
    if fault is not None:
        return _invalid("ast_decoder:decoder_failed", fault)
    if not is_function_calling_format_output(calls):
        return _invalid("ast_decoder:decoder_wrong_output_format", "not in the form of calls")
    model_name = PROMPT if isinstance(answer, str) else NATIVE
    checked: dict[str, Any] = ast_checker(
        row["function"], calls, row["ground_truth"], language, category, model_name
    )
    return checked


def _judge_turns(row: dict[str, Any], category: str, mode: str | None, turns: Any) -> dict[str, Any]:
    truth = row["ground_truth"]
    if not isinstance(turns, list):
        return _invalid("multi_turn:inference_error", "not a list of turns")
    if len(turns) != len(truth):
        return _invalid("multi_turn:force_terminated", f"{len(turns)} turns of {len(truth)}")
    decoded = [
        [calls for answer in turn if (calls := _decode_step(answer, mode))] if isinstance(turn, list) else []
        for turn in turns
    ]
    forget()
    checked: dict[str, Any] = multi_turn_checker(decoded, truth, row, category, PROMPT)
    return checked


def _decode(answer: Any, mode: str | None, language: str) -> Any:
    """The calls of an answer as ``[{name: {argument: value}}]``.

    Raises:
        Exception: whatever the package's decoders raise; the answer isn't calls then.
    """
    if isinstance(answer, str) and answer and mode == "fc":
        raise ValueError("a text instead of native calls")
    if isinstance(answer, str):
        return decoder.default_decode_ast_prompting(answer, language)
    calls = []
    for call in answer:
        name, arguments = next(iter(call.items()))
        calls.append({name: json.loads(arguments) if isinstance(arguments, str) else arguments})
    return calls


def _decode_step(answer: Any, mode: str | None) -> list[str]:
    """The calls of a step as statements; none where there are none to decode, as officially."""
    try:
        if not isinstance(answer, str):
            statements = decoder.convert_to_function_call(answer)
        elif mode == "fc":
            statements = []
        else:
            statements = decoder.default_decode_execute_prompting(answer)
    except Exception:  # the official runner ends a turn at whatever its decoder raises
        return []
    return [] if executor.is_empty_execute_response(statements) else statements


_VALID: dict[str, Any] = {"valid": True}


def _invalid(error_type: str, message: str) -> dict[str, Any]:
    return {"valid": False, "error_type": error_type, "error_message": message}
