"""Which plots a page has: what the runs logged decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from magic_megatron.drawing.plots import INK, RUNS, smooth, thin
from magic_megatron.rl.report.panels import LARGE, SHARE, WIDE, Panel, Scale, Section, Stroke, by_group, panel
from magic_megatron.rl.report.run_folder import NUM_WINDOWS, RunGroup, keys_of

_FREE, _FROM_ZERO, _SHARE = Scale(), Scale(floor=0.0), Scale(floor=0.0, format=SHARE)
_LOG = Scale(floor=0.0, is_log=True)

_OPTIMISATION = (
    ("kl", "KL to the SFT policy", "nats per token", _FROM_ZERO),
    ("grad_norm", "Gradient norm", "before clipping", _LOG),
    ("clip_fraction", "Clip fraction", "tokens whose ratio left the trust region", _SHARE),
    ("policy_loss", "Policy loss", "clipped surrogate; its height says little", _FREE),
    ("lr", "Learning rate", "", Scale(floor=0.0, format="{x:.1e}")),
)
_ENTROPY = (
    ("entropy", "Entropy", "mean over response tokens, nats", _FROM_ZERO),
    ("smooth", "Smoothing, Eq. 11", "penalty for entropy above its history", _FROM_ZERO),
    ("information_bottleneck", "Information bottleneck, Eq. 12", "entropy of thought − β · of action", _FREE),
    ("gate", "Gate", "share of tokens outside their bounds", _FROM_ZERO),
)
_AGREEMENT = (
    ("log_prob_difference_mean", "Mean difference", "|log p of the rollout − of the trainer|, nats", _LOG),
    ("log_prob_difference_max", "Greatest difference", "over all tokens of a step, nats", _LOG),
    ("probability_difference_mean", "Mean difference of probabilities", "", _LOG),
    ("probability_difference_max", "Greatest difference of probabilities", "over all tokens of a step", _LOG),
)
_ANSWERS = (
    ("response_length", "Response length", "tokens, mean", _FROM_ZERO),
    ("truncated", "Truncated", "responses that met the limit", _SHARE),
    ("num_turns", "Turns of an episode", "mean", _FROM_ZERO),
    ("valid_actions", "Valid actions", "share of turns", _SHARE),
    ("num_samples", "Samples of a step", "", _FROM_ZERO),
    ("num_lost", "Lost episodes", "their environment broke off; not in the loss", _FROM_ZERO),
)
_SPEED = (
    ("step_time_s", "Time of a step", "seconds", _FROM_ZERO),
    ("tokens_per_s", "Tokens per second", "", Scale(floor=0.0, format=LARGE)),
)


def sections(groups: Sequence[RunGroup]) -> list[Section]:
    """In the order of the page; those with nothing to draw are absent."""
    seeds = " Bands are 95 % confidence intervals of the mean over seeds." if _has_seeds(groups) else ""
    found = [
        Section(
            "Reward", f"Pale lines are single steps, strong ones a running mean.{seeds}", _rewards(groups)
        ),
        Section(
            "Held-out",
            "Solid: decoded greedily; dashed: sampled as in training. Share of answers that are wholly right, or of"
            f" games won.{seeds}",
            _validation(groups),
        ),
        Section("Signal", "What there is to learn from in a step.", _signal(groups)),
        Section("Entropy", "Dotted: histories, the mean of all past steps.", _entropies(groups)),
        Section("Optimisation", "", _each(groups, _OPTIMISATION)),
        Section("Rollout and trainer", "The same tokens under both engines.", _each(groups, _AGREEMENT)),
        Section("Answers", "", _each(groups, _ANSWERS)),
        Section("Router", "", _router(groups)),
        Section("Time", "", [*_phases(groups), *_each(groups, _SPEED)]),
    ]
    return [section for section in found if section.panels]


def names_under(groups: Sequence[RunGroup], prefix: str) -> list[str]:
    """``["calendar", "trip"]`` of ``reward/calendar`` and ``reward/trip``."""
    return sorted(key.removeprefix(prefix) for key in keys_of(groups) if key.startswith(prefix))


def _has_seeds(groups: Sequence[RunGroup]) -> bool:
    return any(len(group.runs) > 1 for group in groups)


def _each(groups: Sequence[RunGroup], metrics: Sequence[tuple[str, str, str, Scale]]) -> list[Panel]:
    return [found for metric in metrics for found in by_group(groups, *metric, is_smoothed=metric[0] != "lr")]


def _rewards(groups: Sequence[RunGroup]) -> list[Panel]:
    tasks = names_under(groups, "reward/")
    found = [_seesaw(group, tasks, alone=len(groups) == 1) for group in groups if tasks]
    if len(groups) > 1:
        found += by_group(groups, "reward", "Reward", "mean over all tasks", _FREE)
        for task in tasks:
            found += by_group(groups, f"reward/{task}", f"Reward: {task}", "mean over its episodes", _FREE)
    elif not tasks:
        found += by_group(groups, "reward", "Reward", "mean over episodes", _FREE, width=WIDE)
    for name in names_under(groups, "success/"):
        found += by_group(
            groups, f"success/{name}", f"Success: {name}", "share of training episodes won", _SHARE
        )
    return found + (_parts(groups[0], tasks) if len(groups) == 1 else [])


def _seesaw(group: RunGroup, tasks: Sequence[str], *, alone: bool) -> Panel:
    """All tasks of a group in one plot: whether one rises while another falls."""
    strokes = [Stroke(group, f"reward/{task}", task, _colour(place)) for place, task in enumerate(tasks)]
    whole = [Stroke(group, "reward", "all", INK, "--")] if len(tasks) > 1 else []
    title = "Reward by task" if alone else f"Reward by task: {group.label}"
    key = "seesaw" if alone else f"seesaw/{group.label}"
    note = "does one rise while another falls?" if len(tasks) > 1 else "mean over episodes"
    return panel(key, title, note, [*strokes, *whole], _FREE, WIDE if alone else 4.9)


def _parts(group: RunGroup, tasks: Sequence[str]) -> list[Panel]:
    found = []
    for task in tasks:
        parts = names_under([group], f"parts/{task}/")
        strokes = [Stroke(group, f"parts/{task}/{part}", part, _colour(n)) for n, part in enumerate(parts)]
        if strokes:
            found.append(
                panel(f"parts/{task}", f"Parts of the reward: {task}", "means, 0 to 1", strokes, _FROM_ZERO)
            )
    return found


def _validation(groups: Sequence[RunGroup]) -> list[Panel]:
    found = []
    for task in sorted({name.rsplit("/", 1)[0] for name in names_under(groups, "validation/")}):
        strokes = [
            Stroke(group, f"validation/{task}/{mode}", label, group.colour, style, False, "o")
            for group in groups
            for mode, style, label in (
                ("greedy", "-", group.label if len(groups) > 1 else "greedy"),
                ("sampled", "--", None if len(groups) > 1 else "sampled"),
            )
        ]
        found.append(panel(f"validation/{task}", task, "held-out", strokes, _SHARE))
    return found


def _signal(groups: Sequence[RunGroup]) -> list[Panel]:
    """By task for a group alone; there is no reading tasks times groups in one plot."""
    kinds = (
        ("advantage_std", "Spread of advantages", "standard deviation over a step's episodes", _FROM_ZERO),
        ("groups_with_signal", "Groups with signal", "share whose samples differ in reward", _SHARE),
    )
    found = []
    for kind, title, note, scale in kinds:
        tasks = names_under(groups, f"{kind}/")
        if len(groups) == 1 and tasks:
            strokes = [Stroke(groups[0], f"{kind}/{task}", task, _colour(n)) for n, task in enumerate(tasks)]
            found.append(panel(kind, title, note, strokes, scale))
        elif len(groups) > 1:
            for task in tasks:
                found += by_group(groups, f"{kind}/{task}", f"{title}: {task}", note, scale)
    return found


def _entropies(groups: Sequence[RunGroup]) -> list[Panel]:
    """The paper's Figure 8a first: thought and action apart, each with its history."""
    logged = keys_of(groups)
    kinds = [
        kind
        for kind in (("think", "thought", RUNS[3]), ("act", "action", RUNS[2]))
        if f"entropy_{kind[0]}" in logged
    ]
    if not kinds:
        return _each(groups, _ENTROPY)
    note = "mean entropy of a segment's tokens, nats"
    if len(groups) == 1:
        strokes = [
            stroke
            for kind, label, colour in kinds
            for stroke in (
                Stroke(groups[0], f"entropy_{kind}", label, colour),
                Stroke(groups[0], f"history_{kind}", None, colour, ":", False),
            )
        ]
        segments = [panel("segment_entropies", "Entropy of thought and action", note, strokes, _LOG, WIDE)]
    else:
        segments = [
            panel(
                f"segment_entropies/{kind}",
                f"Entropy of {label}",
                note,
                [
                    *(Stroke(group, f"entropy_{kind}", group.label, group.colour) for group in groups),
                    *(Stroke(group, f"history_{kind}", None, group.colour, ":", False) for group in groups),
                ],
                _LOG,
            )
            for kind, label, _ in kinds
        ]
    return [*segments, *_each(groups, _ENTROPY)]


def _router(groups: Sequence[RunGroup]) -> list[Panel]:
    note = "load of the fullest expert over the mean load, less 1 (Eq. 17), mean of the layers"
    return by_group(groups, "max_vio", "MaxVio", note, _FROM_ZERO)


def _phases(groups: Sequence[RunGroup]) -> list[Panel]:
    """Over the steps for a run alone, else mean seconds of a step as a bar a group."""
    names = [key for key in keys_of(groups) if key.startswith("time/")]
    if not names:
        return []
    alone = len(groups) == 1 and len(groups[0].runs) == 1

    def draw(axes: Axes) -> None:
        _stack(axes, groups[0], names) if alone else _bars(axes, groups, names)
        axes.legend(ncols=min(len(names), 5), frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16))

    note = "running mean over the steps" if alone else "mean of all steps and seeds"
    height = 3.3 if alone else 1.6 + 0.42 * len(groups)
    return [Panel("time", "Time of a step by phase, seconds", note, draw, WIDE, height)]


def _stack(axes: Axes, group: RunGroup, names: Sequence[str]) -> None:
    """A phase that some steps don't have took no time in them."""
    steps = np.unique(np.concatenate([group.runs[0].curve(name)[0] for name in names]))
    stacked = []
    for name in names:
        at, values = group.runs[0].curve(name)
        seconds = np.zeros(len(steps))
        seconds[np.searchsorted(steps, at)] = values
        stacked.append(smooth(seconds, NUM_WINDOWS))
    x = thin(steps, steps)[0]
    labels = [_phase(name) for name in names]
    colours = [_colour(place) for place in range(len(names))]
    thinned = [thin(steps, seconds)[1] for seconds in stacked]
    axes.stackplot(x, *thinned, labels=labels, colors=colours, alpha=0.8, linewidth=0)
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)


def _bars(axes: Axes, groups: Sequence[RunGroup], names: Sequence[str]) -> None:
    rows = range(len(groups))
    starts = np.zeros(len(groups))
    for place, name in enumerate(names):
        seconds = np.array([_mean_of_a_step(group, name) for group in groups])
        axes.barh(rows, seconds, left=starts, height=0.6, color=_colour(place), alpha=0.8, label=_phase(name))
        starts += seconds
    axes.set_yticks(rows, [group.label for group in groups])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()


def _mean_of_a_step(group: RunGroup, name: str) -> float:
    """Seconds; steps without the phase count as none."""
    return float(np.mean([run.curve(name)[1].sum() / len(run.lines) for run in group.runs]))


def _phase(name: str) -> str:
    return name.removeprefix("time/").removesuffix("_s").replace("_", " ")


def _colour(place: int) -> str:
    return RUNS[place % len(RUNS)]
