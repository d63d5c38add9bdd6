"""BFCL's own runner, ``eval`` included, over answers that the tests make; runs in the package's environment.

As ``bfcl/eval_checker/eval_runner.py`` of nvidia-bfcl 26.3 does, without its files and tables, with the decoders of
its OpenAI handler. Nothing of ours is imported.
"""

import json
from functools import cache
from typing import Any

import mpmath
from bfcl.constant import POSSIBLE_ANSWER_PATH, PROMPT_PATH, TEST_FILE_MAPPING
from bfcl.eval_checker.ast_eval.ast_checker import ast_checker
from bfcl.eval_checker.multi_turn_eval import multi_turn_utils
from bfcl.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
from bfcl.model_handler.constant import UNDERSCORE_TO_DOT
from bfcl.model_handler.utils import (
    convert_to_function_call,
    default_decode_ast_prompting,
    default_decode_execute_prompting,
)
from bfcl.utils import is_empty_output, is_function_calling_format_output, load_file

LANGUAGES = {"java": "Java", "javascript": "JavaScript"}
UNDERSCORE_TO_DOT.append("native")


@cache
def table(category: str) -> list[tuple[dict[str, Any], Any]]:
    questions = load_file(PROMPT_PATH / TEST_FILE_MAPPING[category], sort_by_id=True)
    answers = load_file(POSSIBLE_ANSWER_PATH / TEST_FILE_MAPPING[category], sort_by_id=True)
    truths = [answer["ground_truth"] for answer in answers] or [None] * len(questions)
    return list(zip(questions, truths, strict=True))


def samples(category: str) -> list[Any]:
    """[id, possible answers] in the official order."""
    return [[question["id"], truth] for question, truth in table(category)]


def verdict(category: str, position: int, mode: str, answer: Any) -> bool | str:
    """Whether it is right; a text where the runner would have raised."""
    try:
        if "multi_turn" in category:
            return turns_verdict(category, position, mode, answer)
        return calls_verdict(category, position, mode, answer)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


def calls_verdict(category: str, position: int, mode: str, answer: Any) -> bool:
    question, truth = table(category)[position]
    language = LANGUAGES.get(category, "Python")
    try:
        calls = decode(answer, mode, language)
    except Exception:
        return "irrelevance" in category
    if "relevance" in category:
        return is_empty_output(calls) == ("irrelevance" in category)
    if not is_function_calling_format_output(calls):
        return False
    model = "native" if mode == "fc" else "prompting"
    return bool(ast_checker(question["function"], calls, truth, language, category, model)["valid"])


def decode(answer: Any, mode: str, language: str) -> Any:
    if mode == "prompt":
        return default_decode_ast_prompting(answer, language)
    decoded = []
    for call in answer:
        (name, *_) = call.keys()
        decoded.append({name: json.loads(call[name])})
    return decoded


def turns_verdict(category: str, position: int, mode: str, turns: Any) -> bool:
    question, truth = table(category)[position]
    if len(turns) != len(truth):
        return False
    decoded: list[list[list[str]]] = []
    for turn in turns:
        decoded.append([])
        for answer in turn:
            try:
                to_calls = default_decode_execute_prompting if mode == "prompt" else convert_to_function_call
                calls = to_calls(answer)
            except Exception:
                continue
            if not multi_turn_utils.is_empty_execute_response(calls):
                decoded[-1].append(calls)
    for name in [name for name in vars(multi_turn_utils) if name.endswith("_instance")]:
        delattr(multi_turn_utils, name)
    mpmath.mp.dps = 15
    return bool(multi_turn_checker(decoded, truth, question, category, "prompting")["valid"])
