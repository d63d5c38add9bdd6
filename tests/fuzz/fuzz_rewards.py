"""Throw texts at the rewards of all five tasks: none may raise, leave [0, 1], or take longer than a second.

    python tests/fuzz/fuzz_rewards.py [--inputs 1000000] [--seed 0] [--engine mutations|atheris]

``atheris`` (pip install atheris) lets coverage of the project's parsers guide it; ``mutations``, the default, needs
nothing: it changes gold answers and joins fragments of the formats. Embeddings are hashed words instead of a model's,
so that a million inputs take minutes. Ends with a line of JSON; the first input that fails is printed and raises.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

FRAGMENTS = [
    *("<think>", "</think>", "<action>", "</action>", "<answer>", "</answer>", "<tool_call>", "</tool_call>"),
    *(
        "<Plan>",
        "</Plan>",
        "<Reply>",
        "</Reply>",
        "Step1.",
        "Step2.",
        "Step10000.",
        "ToolList:",
        "Node:",
        "Node ",
    ),
    *(
        "Edge:",
        "Edges:",
        "Graph:",
        "\n",
        "1:",
        "2:",
        "\n1: ",
        "\n2. ",
        " 3:",
        "(START,1)",
        "(1,2)",
        "(2,END)",
        "(1,1)",
    ),
    *(
        "(",
        ")",
        ",",
        "[",
        "]",
        "{",
        "}",
        ":",
        '"',
        '"name"',
        '"arguments"',
        '"content"',
        '"reply"',
        "reply",
        "null",
    ),
    *(
        "true",
        "NaN",
        "1e999",
        "-0",
        "9" * 30,
        "\\ud800",
        "\\u0000",
        "\ud800",
        "\x00",
        "\u2028",
        "𝟙",
        "٣",
        " ",
    ),
    *(
        "Monday, 9:00 - 10:00",
        "Day 1-3: Visit Rome for 3 days.",
        "Day 3: Fly from Rome to Oslo.",
        "星期一，9:00 - 10:00",
    ),
    *(
        "You start at A at 9:00AM.",
        "You meet B for 5 minutes from 9:00AM to 9:05AM.",
        "第1天：从",
        "飞往",
        "。",
        "你与",
    ),
    *(
        "第1-3天：游览罗马3天。",
        "SOLUTION:",
        "答案：",
        '{"name": "reply", "arguments": {"content": "x"}}',
        "[[[[",
        "}}}}",
    ),
]
"""Of all formats, and what parsers stumble over."""
GARBAGE = [
    *(
        "a",
        " ",
        "\n",
        "1",
        "9",
        "(",
        "[",
        "{",
        '"',
        "\\",
        "<",
        "<think>",
        "</think>",
        "<think></think>",
        "\ud800",
    ),
    *(
        "</think><tool_call>",
        "<tool_call></tool_call>",
        "<answer>",
        "</answer>",
        "Step1.",
        "Step1. Step2.",
        "<Plan>",
    ),
    *(
        "<Reply>",
        "</Reply>x",
        "] ",
        "ToolList:[",
        "</action>",
        "(START,1) ",
        "(1,",
        "( ",
        "\n1: a",
        "Node:\n",
        "Edge:",
    ),
    *(
        "Monday,",
        "a ,",
        "You start at ",
        " at 9:00",
        "You travel to a in 5 minutes",
        ". ",
        "你与",
        "第1天：从a飞往",
    ),
    *(
        "飞往",
        "游览",
        "Day 1: Fly from ",
        "Day 1-2: Visit ",
        "抵达",
        "[[",
        '{"a":',
        "1e",
        "中",
        "𝟙",
        "\x00",
        " \t",
        "12:",
    ),
]
"""Repeated, what makes careless patterns rescan."""


def mutated(text: str, seed: int) -> str:
    """``text`` after some changes: pieces cut, doubled, moved, replaced by fragments or single characters."""
    rng = Random(seed)
    for _ in range(rng.randint(1, 6)):
        a, b = sorted(rng.randint(0, len(text)) for _ in range(2))
        b = min(b, a + rng.choice([1, 5, 30, 10**6]))
        piece = rng.choice(
            ["", text[a:b] * 2, text[a:b][::-1], rng.choice(FRAGMENTS), chr(rng.randrange(0x11000))]
        )
        if rng.random() < 0.3:
            b = a
        text = text[:a] + piece + text[b:]
    return text


def joined(rng: Random) -> str:
    """Fragments, some many times."""
    return "".join(rng.choice(FRAGMENTS) * rng.choice([1, 1, 1, 1, 50]) for _ in range(rng.randint(0, 15)))


class Target:
    """Calls every reward and checks what comes back."""

    def __init__(self) -> None:
        sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "unit")]
        from reward_rows import TASKS, answers, lexical_settings

        from magic_megatron.rl.rewards import score

        self.tasks, self.score, self.settings = TASKS, score, lexical_settings()
        self.golds = {task: [a for a in answers() if a.task == task] for task in TASKS}
        self.slowest, self.num_inputs, self.num_formats = 0.0, 0, 0

    def __call__(self, task: str, text: str, gold: int) -> None:
        """Raises on any fault."""
        answer = self.golds[task][gold % len(self.golds[task])]
        starts = time.process_time()
        try:
            reward = self.score(task, text, answer.ground_truth, self.settings)
            seconds = time.process_time() - starts
            assert all(0.0 <= value <= 1.0 for value in reward.parts.values()) and reward.reason
            assert seconds < 1.0, f"{seconds:.1f} s"
        except BaseException:
            print(f"{task}: {text[:2000]!r}", file=sys.stderr)
            raise
        self.slowest = max(self.slowest, seconds)
        self.num_inputs += 1
        self.num_formats += reward.parts["format"] == 1.0


def by_mutation(target: Target, num_inputs: int, seed: int) -> None:
    """Half gold answers changed, a quarter of another task's, a quarter fragments."""
    rng = Random(seed)
    for number in range(num_inputs):
        task, gold = rng.choice(target.tasks), rng.randrange(10**6)
        kind = rng.randrange(4)
        source = task if kind < 2 else rng.choice(target.tasks)
        answers = target.golds[source]
        text = (
            joined(rng) if kind == 3 else mutated(answers[gold % len(answers)].response, rng.randrange(2**60))
        )
        target(task, text, gold)
        if number % 100_000 == 99_999:
            print(f"{number + 1:,} inputs", file=sys.stderr, flush=True)


def by_coverage(num_inputs: int, seed: int) -> None:
    """libFuzzer's loop; it ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["magic_megatron.rl.rewards", "evaluation", "data_synth.tasks"]):
        target = Target()

    def one(data: bytes) -> None:
        provider = atheris.FuzzedDataProvider(data)
        task, gold = provider.PickValueInList(list(target.tasks)), provider.ConsumeIntInRange(0, 10**6)
        head = provider.PickValueInList([*FRAGMENTS, ""]) + provider.PickValueInList([*FRAGMENTS, ""])
        gold_text = target.golds[task][gold % len(target.golds[task])].response
        rest = provider.ConsumeUnicode(sys.maxsize)
        cut = provider.ConsumeIntInRange(0, len(gold_text))
        target(task, head + rest if len(data) % 2 else gold_text[:cut] + rest + gold_text[cut:], gold)
        if target.num_inputs == num_inputs:
            report(target, "atheris")

    atheris.Setup(
        [sys.argv[0], f"-runs={num_inputs}", f"-seed={seed + 1}", "-max_len=4096", "-verbosity=0"], one
    )
    atheris.Fuzz()


def report(target: Target, engine: str) -> None:
    """The line of JSON."""
    result = {
        "engine": engine,
        "inputs": target.num_inputs,
        "in_format": target.num_formats,
        "slowest_s": round(target.slowest, 3),
        "failures": 0,
    }
    print(json.dumps(result), flush=True)


def main() -> None:
    """Fuzz and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=["mutations", "atheris"], default="mutations")
    arguments = parser.parse_args()
    if arguments.engine == "atheris":
        by_coverage(arguments.inputs, arguments.seed)
        return
    target = Target()
    by_mutation(target, arguments.inputs, arguments.seed)
    report(target, "mutations")


if __name__ == "__main__":
    main()
