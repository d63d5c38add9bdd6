"""The plots of a run: training, routing, puzzles solved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import EngFormatter, PercentFormatter

from evaluation.report.drawing import ACCENT, BEFORE, CARD, INK, MUTED, SERIES, Plot, figure, svg
from evaluation.report.run_folder import Evaluation, RunFolder

LAYERS = LinearSegmentedColormap.from_list("layers", ["#7cc4b8", "#2f6fde", "#5b2a86"])
SELECTION = LinearSegmentedColormap.from_list("selection", ["#f5f7fb", "#9dbcf2", "#2f6fde", "#173a7a"])
ROUTING_LINES = 5
"""So many last lines of ``routing.jsonl`` are summed for the heatmap; one step alone is noisy."""


@dataclass(frozen=True)
class _Curve:
    key: str
    title: str
    note: str
    is_smoothed: bool = True
    width: float = 4.9


CURVES = (
    _Curve("loss", "Loss", "per token, over the global batch", width=10.2),
    _Curve("lr", "Learning rate", "warm-up, then cosine", is_smoothed=False),
    _Curve("load_balancing_loss", "Load-balancing loss", "1 is perfectly balanced"),
    _Curve("z_loss", "z-loss", "mean of (logsumexp of the router's logits)²"),
    _Curve("grad_norm", "Gradient norm", "before clipping"),
    _Curve("tokens_per_s", "Tokens per second", "all processes together"),
)


def training_plots(run: RunFolder) -> list[Plot]:
    """Curves over the steps of SFT, as far as ``metrics.jsonl`` has their keys."""
    plots = []
    for curve in CURVES:
        points = [(m["step"], m[curve.key]) for m in run.metrics if m.get(curve.key) is not None]
        if points:
            plots.append(_plot_curve(curve, *np.array(points, dtype=float).T))
    per_layer = [(m["step"], m["max_vio_per_layer"]) for m in run.metrics if m.get("max_vio_per_layer")]
    if per_layer:
        steps, layers = zip(*per_layer, strict=True)
        plots.insert(2, _plot_max_vio(np.array(steps), np.array(layers, dtype=float)))
    return plots


def reward_plot(run: RunFolder) -> Plot:
    """The mean reward of each task over the steps of RL, and over all of them."""
    tasks = sorted({key for line in run.rl for key in line if key.startswith("reward/")})
    drawn, axes = figure(width=10.2)
    for number, key in enumerate(tasks if len(tasks) > 1 else []):
        points = [(line["step"], line[key]) for line in run.rl if line.get(key) is not None]
        _line(axes, np.array(points, dtype=float), SERIES[(number + 1) % len(SERIES)], key.partition("/")[2])
    label = "all tasks" if len(tasks) > 1 else next(iter(tasks), "reward").rpartition("/")[2]
    overall = np.array([(line["step"], line["reward"]) for line in run.rl], dtype=float)
    _line(axes, overall, ACCENT, label, width=2.4)
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    axes.legend(ncols=4, frameon=False, fontsize=9, labelcolor=INK)
    return Plot("Reward by task", "mean over the samples of a step", svg(drawn))


def accuracy_plot(run: RunFolder) -> Plot:
    """Bars of the share solved before and after training, for each subtask."""
    drawn, axes = figure(width=9.4, height=0.6 + 0.72 * len(run.subtasks))
    for row, subtask in enumerate(run.subtasks):
        _bar(axes, row - 0.19, run.before.get(subtask), BEFORE)
        _bar(axes, row + 0.19, run.after.get(subtask), ACCENT)
    axes.set_yticks(range(len(run.subtasks)), run.subtasks)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=11)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    axes.spines["bottom"].set_visible(False)
    return Plot("Puzzles solved", "On held-out puzzles, asked of the served model.", svg(drawn))


def routing_plots(run: RunFolder) -> list[Plot]:
    """A heatmap per layer: which experts the tokens of each domain choose, a row adding up to one.

    Domains without a token in the lines that are summed are left out.
    """
    lines = run.routing[-ROUTING_LINES:]
    if not lines:
        return []
    domains, layers = lines[-1]["domains"], lines[-1]["layers"]
    counts = np.sum([line["counts"] for line in lines if line["domains"] == domains], axis=0, dtype=float)
    seen = np.flatnonzero(counts.sum(axis=(0, 2)))
    if not len(seen):
        return []
    shares = counts[:, seen] / np.maximum(counts[:, seen].sum(axis=-1, keepdims=True), 1)
    short = _short_names(domains)
    names = [short[place] for place in seen]
    return [
        _plot_selection(f"Layer {layer}", names, share) for layer, share in zip(layers, shares, strict=True)
    ]


def _short_names(domains: Sequence[str]) -> list[str]:
    """Each ``task/subtask`` without its task, where no other task has a subtask of that name."""
    ends = [domain.rsplit("/", 1)[-1] for domain in domains]
    return [end if ends.count(end) == 1 else domain for domain, end in zip(domains, ends, strict=True)]


def _plot_curve(curve: _Curve, steps: np.ndarray, values: np.ndarray) -> Plot:
    drawn, axes = figure(curve.width)
    if curve.is_smoothed and len(steps) >= 20:
        axes.plot(steps, values, color=ACCENT, alpha=0.25, linewidth=0.8)
        axes.plot(steps, _smooth(values), color=ACCENT, linewidth=1.8)
    else:
        axes.plot(steps, values, color=ACCENT, linewidth=1.8)
    if curve.key in ("lr", "tokens_per_s"):
        axes.yaxis.set_major_formatter(EngFormatter(sep="") if curve.key != "lr" else "{x:.1e}")
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    if values[np.isfinite(values)].min(initial=0) >= 0 and curve.key != "load_balancing_loss":
        axes.set_ylim(bottom=0)
    return Plot(curve.title, curve.note, svg(drawn))


def _line(axes: Axes, points: np.ndarray, colour: str, label: str, width: float = 1.5) -> None:
    """``points``: (step, value), [n, 2]."""
    steps, values = points.T
    if len(steps) >= 20:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        values = _smooth(values)
    axes.plot(steps, values, color=colour, linewidth=width, label=label)


def _plot_max_vio(steps: np.ndarray, layers: np.ndarray) -> Plot:
    """``layers``: MaxVio, [steps, layers]."""
    drawn, axes = figure()
    num_layers = layers.shape[1]
    for layer in range(num_layers):
        colour = LAYERS(layer / max(1, num_layers - 1))
        label = f"layer {layer}" if num_layers <= 8 else None
        axes.plot(steps, _smooth(layers[:, layer]), color=colour, linewidth=1.1, alpha=0.85, label=label)
    axes.plot(steps, _smooth(layers.mean(axis=1)), color=INK, linewidth=2, label="mean")
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2, frameon=False, labelcolor=INK)
    note = "load of the fullest expert over the mean load, less 1 (Eq. 17); 0 is balanced"
    return Plot("MaxVio by layer", note, svg(drawn))


def _plot_selection(title: str, domains: Sequence[str], shares: np.ndarray) -> Plot:
    """``shares``: [domains, experts], each row adding up to 1."""
    num_domains, num_experts = shares.shape
    drawn, axes = figure(height=1.0 + 0.42 * num_domains)
    top = max(2 / num_experts, float(shares.max()))
    borders = np.arange(num_experts + 1) - 0.5, np.arange(num_domains + 1) - 0.5
    axes.pcolormesh(*borders, shares, cmap=SELECTION, vmin=0, vmax=top, edgecolors=CARD, linewidth=1.5)
    axes.invert_yaxis()
    for (row, expert), share in np.ndenumerate(shares if num_experts <= 16 else np.empty((0, 0))):
        colour = "white" if share > 0.55 * top else "#173042"
        axes.text(expert, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_yticks(range(num_domains), domains)
    axes.tick_params(length=0)
    axes.set_xticks(range(num_experts) if num_experts <= 16 else range(0, num_experts, 16))
    axes.set_xlabel("expert")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return Plot(title, f"% of each domain's choices; even would be {100 / num_experts:.3g}", svg(drawn))


def _bar(axes: Axes, place: float, evaluation: Evaluation | None, colour: str) -> None:
    if evaluation is None or evaluation.accuracy is None:
        axes.text(0.005, place, "not measured", va="center", color=MUTED, fontsize=9)
        return
    share, num_samples = evaluation.accuracy, evaluation.results["num_samples"]
    axes.barh(place, share, height=0.34, color=colour)
    label = f"{100 * share:.1f} %  of {num_samples:,}"
    axes.text(share + 0.008, place, label, va="center", color=INK, fontsize=9.5)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Centred running mean over about a fortieth of the steps, over what there is of them at both ends."""
    half = len(values) // 80
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    starts, ends = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    smoothed: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return smoothed
