"""Rollouts as a run writes them: two planning tasks and a text game, told in a real tokenizer's tokens."""

import functools
import math
import random
import tempfile
from pathlib import Path

from data_synth.writers.rows import Row
from data_synth.writers.tokenizer import load, train
from magic_megatron.rl.rollouts import RolloutWriter, Sample, TokenTexts

PLACES = ("desk 1", "drawer 2", "shelf 3", "sofa 1", "side table 1", "cabinet 4")
THINGS = ("mug 1", "pen 2", "key chain 1", "laptop 1", "vase 2", "book 3")


@functools.cache
def tokenizer():
    """Byte-level with Qwen3's split pattern and special tokens, of which ``<think>`` is one."""
    say = "The mug 1 isn't at the desk 1; drawers often have small things, so I look there first. Go to the drawer 2."
    row = Row(
        "0", "any", "any", [{"role": "assistant", "content": f"<action>{say}</action>"}], [], {}, {}, "rows:1"
    )
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "tokenizer"
        train([row] * 8, 384, folder)
        return load(folder, "rows")


class Rollouts:
    """Makes samples; the same seed makes the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.tokenizer = tokenizer()
        self.texts = TokenTexts(self.tokenizer)

    def turn(self, text, prompt, **values):
        """A sample of ``text`` whose segments, entropies and probabilities are as a policy's are."""
        ids = self.tokenizer(text + "<|im_end|>", add_special_tokens=False)["input_ids"]
        tokens = self.texts(ids)
        segments, place = [], 0
        for token in tokens:
            before, place = text[:place], place + len(token)
            inside = before.rfind("<think>") > before.rfind("</think>")
            segments.append(1 if inside else 2 if "</think>" in before and "<" not in token else 0)
        entropies = [self.random.expovariate(1.2 if s == 1 else 12) for s in segments]
        log_probs = [-self.random.expovariate(1 / (0.4 * h + 0.01)) for h in entropies]
        return Sample(
            prompt=prompt,
            response=text,
            prompt_ids=self.tokenizer(prompt)["input_ids"],
            response_ids=ids,
            tokens=tokens,
            log_probs=log_probs,
            entropies=entropies,
            segments=segments,
            **values,
        )

    def game(self, step, instance, sample, num_turns):
        """An episode of a text game: a sample a turn, one advantage."""
        won = self.random.random() < 0.4
        thing = THINGS[sum(map(ord, instance)) % len(THINGS)]
        for turn in range(num_turns):
            place = self.random.choice(PLACES)
            valid = self.random.random() < 0.9
            prompt = (
                f"Your task: put the {thing} on the sofa.\nYou are at the {place}. You see a {thing}.\n"
                f"You can: {', '.join('go to ' + name for name in PLACES)}."
            )
            said = (
                f"<think>The {thing} isn't at the {place}; drawers often have small things, so I look there "
                f"first — 然后再看。</think>\n<action>{'go to ' + place if valid else 'fly'}</action>"
            )
            last = turn == num_turns - 1
            yield self.turn(
                said,
                prompt,
                step=step,
                group=instance,
                sample=sample,
                turn=turn,
                task="alfworld",
                reward=(10.0 if won and last else 0.0) - (0.0 if valid else 0.1),
                parts={"format": 1.0},
                reason="won" if won and last else "" if valid else "'fly' isn't admissible",
                advantage=1.2 if won else -0.6,
                won=won,
                valid=valid,
                lost=not won and sample == 3 and instance.endswith("5"),
            )

    def answer(self, step, row, sample, task):
        part = "schedule" if task == "scheduling" else "plan"
        good = self.random.random() < 0.5
        return self.turn(
            f"<think>Mary is free from 9:00, John from {9 + sample}:30 — so the first half hour that both have "
            f"is at {9 + sample}:30.</think>\nHere is the proposed time: Monday, {9 + sample}:30 - {10 + sample}:00",
            f"<|im_start|>user\nMary and John want to meet. Row {row}.<|im_end|>\n<|im_start|>assistant\n",
            step=step,
            group=row,
            sample=sample,
            turn=0,
            task=task,
            reward=1.0 + good,
            parts={"format": 1.0, part: float(good)},
            reason="every constraint holds" if good else f"John is busy at {9 + sample}:30",
            advantage=math.copysign(0.9, good - 0.5),
            won=None,
            valid=None,
            lost=False,
        )


def save(output_dir, steps=(1, 2), num_groups=3, num_samples=4, seed=0):
    """A run folder with rollouts; the samples in the order in which they were written."""
    made, writer, written = Rollouts(seed), RolloutWriter(output_dir / "rollouts"), []
    for step in steps:
        samples = []
        for number in range(num_groups):
            for sample in range(num_samples):
                samples += made.game(
                    step, f"look_at_obj-{number}", sample, num_turns=2 + (sample + number) % 3
                )
                samples.append(made.answer(step, f"calendar-{number}", sample, "scheduling"))
                samples.append(made.answer(step, f"steps-{number}", sample, "decomposition"))
        writer.write(step, samples)
        written += samples
    return written
