"""What the preflight of SFT says to each of several recipes: ``python sft_refusals.py RUNS.json``.

``RUNS.json`` is a list of pairs, number of processes and override list. Prints a JSON list: for each the refusal,
or null where it would run.
"""

import json
import sys
from pathlib import Path

from magic_megatron import platform
from magic_megatron.config.sft import SftConfig
from recipes.command import InputError, compose, typed


def main() -> None:
    platform.activate("rehearsal")
    from magic_megatron.sft.preflight import plan_run

    answers: list[str | None] = []
    for world_size, overrides in json.loads(Path(sys.argv[1]).read_text()):
        try:
            plan_run(typed(SftConfig, compose("sft", overrides)), world_size)
            answers.append(None)
        except InputError as error:
            answers.append(str(error))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
