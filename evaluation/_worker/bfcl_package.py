"""nvidia-bfcl 26.3 (ShishirPatil/gorilla, berkeley-function-call-leaderboard, Apache-2.0) without its ``eval``.

Its decoder runs ``eval`` on arithmetic in an answer, its executor on every call of one. Importing this module binds
both to ``expressions.evaluate``, which reaches literals, arithmetic and a few functions of numbers there, and the
public methods of the simulated APIs here. All else, such as other built-in functions, is undefined in an answer.
"""

from __future__ import annotations

import decimal
import functools
import importlib.metadata
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import mpmath
from bfcl import constant as paths
from bfcl.eval_checker.multi_turn_eval import multi_turn_utils as executor
from bfcl.model_handler import utils as decoder
from bfcl.model_handler.constant import UNDERSCORE_TO_DOT
from bfcl.utils import load_file

from evaluation._worker.expressions import evaluate

VERSION = "26.3"
CATEGORIES = (
    *("simple", "java", "javascript", "multiple", "parallel", "parallel_multiple", "irrelevance"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple", "live_irrelevance"),
    *("live_relevance", "multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param"),
    "multi_turn_long_context",
)
"""Those of the score. Left out: executable ones, which call services on the net, SQL, chats and composites."""
PROMPT, NATIVE = "magic_prompt", "magic_native"
"""Model names for the package; under the second it expects ``a_b`` where a function's document says ``a.b``."""

_ARITHMETIC: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (abs, bool, float, int, len, max, min, round, sum)
}


def _bind() -> None:
    found = importlib.metadata.version("nvidia-bfcl")
    assert found == VERSION, f"nvidia-bfcl {found}: look what it evaluates before changing {VERSION} here"
    assert "eval" in decoder.resolve_ast_by_type.__code__.co_names
    assert "eval" in executor.execute_multi_turn_func_call.__code__.co_names
    decoder.eval = lambda text: evaluate(text, _ARITHMETIC.get)
    executor.eval = lambda text: evaluate(text, _method)
    UNDERSCORE_TO_DOT.append(NATIVE.replace("_", "/"))
    warnings.simplefilter("ignore", SyntaxWarning)  # such as "invalid escape sequence" in an answer


def _method(name: str) -> Callable[..., Any] | None:
    """A public method of a simulated API, named ``<instance>.<method>`` as the executor writes it."""
    owner, _, method_name = name.partition(".")
    if not owner.endswith("_instance") or method_name.startswith("_"):
        return None
    method = getattr(vars(executor).get(owner), method_name, None)
    return method if inspect.ismethod(method) else None


def forget() -> None:
    """Begin anew: no simulated API is in use, and arithmetic has its usual precision, which the APIs can change."""
    for name in [name for name in vars(executor) if name.endswith("_instance")]:
        delattr(executor, name)
    mpmath.mp.dps = 15
    decimal.setcontext(decimal.Context())


@functools.cache
def rows() -> dict[str, dict[str, Any]]:
    """The samples by id, in the official order; ``ground_truth`` is None where a category has none.

    Samples and possible answers belong together by position, as officially: one pair differs in its ids. The second
    of two samples with one id (live_relevance_3-3-0) gets ``#2`` behind it.
    """
    samples: dict[str, dict[str, Any]] = {}
    for category in CATEGORIES:
        name = paths.TEST_FILE_MAPPING[category]
        questions = load_file(paths.PROMPT_PATH / name, sort_by_id=True)
        answers = load_file(paths.POSSIBLE_ANSWER_PATH / name, sort_by_id=True) or [{}] * len(questions)
        for row, answer in zip(questions, answers, strict=True):
            sample_id = row["id"] if row["id"] not in samples else f"{row['id']}#2"
            samples[sample_id] = {**row, "ground_truth": answer.get("ground_truth")}
    return samples


@functools.cache
def documents(api: str) -> list[dict[str, Any]]:
    """The functions of a simulated API."""
    documented: list[dict[str, Any]] = load_file(
        paths.MULTI_TURN_FUNC_DOC_PATH / paths.MULTI_TURN_FUNC_DOC_FILE_MAPPING[api]
    )
    return documented


_bind()
