"""How balanced and how specialised the experts are: the paper's Figures 9 and 10 from a run's own counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from magic_megatron.drawing.plots import (
    INK,
    LAYERS,
    RUNS,
    SELECTION,
    Plot,
    colour_of_run,
    finish,
    new_figure,
    smooth,
    thin,
)
from magic_megatron.sft.report.curves import Curve, draw
from magic_megatron.sft.report.run_folder import RunFolder

LOSSES = (
    Curve("load_balancing_loss", "Balance loss", "global batch, Eq. 15; 1 is perfectly balanced", floor=None),
    Curve("z_loss", "z-loss", "mean of (logsumexp of the router's logits)², Eq. 16"),
    Curve(
        "domain_divergence",
        "Specialisation",
        "mean Jensen–Shannon divergence between domains, bits; 0 alike, 1 no expert shared",
    ),
)
_DROPPED = Curve("num_dropped_tokens", "Dropped", "(token, slot) assignments that found their expert full")
_MOST_PANELS = 8  # layers that get a plot of their own
_MOST_NUMBERED = 16  # experts whose heatmap has numbers in it
_LAST_LINES = 5  # of routing.jsonl, summed for a heatmap: a step alone is noisy


def router_plots(runs: Sequence[RunFolder]) -> list[Plot]:
    """MaxVio, the losses and specialisation over the steps; nothing for dense models."""
    if not any(run.last.get("max_vio_per_layer") for run in runs):
        return []
    max_vio = _max_vio_by_layer(runs[0]) if len(runs) == 1 else _max_vio_by_run(runs)
    dropped = [_DROPPED] if any(run.curve("num_dropped_tokens")[1].any() for run in runs) else []
    return [max_vio, *draw([*LOSSES, *dropped], runs)]


def load_plots(run: RunFolder) -> list[Plot]:
    """Figure 9: every expert's load over the steps, a plot a layer; at most eight layers, evenly spaced."""
    if len(run.routing) < 2:
        return []
    steps = np.array([line["step"] for line in run.routing])
    counts = np.array([np.sum(line["counts"], axis=1) for line in run.routing], dtype=float)
    loads = counts / np.maximum(counts.mean(axis=-1, keepdims=True), 1)
    return [_loads(layer, steps, loads[:, place]) for place, layer in _shown_layers(run)]


def selection_plots(run: RunFolder) -> list[Plot]:
    """Figure 10: which experts the tokens of each domain choose, a heatmap a layer; at most eight layers.

    Domains without a token in the lines that are summed are left out.
    """
    if not run.routing:
        return []
    domains = run.routing[-1]["domains"]
    lines = [line["counts"] for line in run.routing[-_LAST_LINES:] if line["domains"] == domains]
    counts = np.sum(lines, axis=0, dtype=float)
    seen = np.flatnonzero(counts.sum(axis=(0, 2)))
    if not len(seen):
        return []
    shares = counts[:, seen] / np.maximum(counts[:, seen].sum(axis=-1, keepdims=True), 1)
    short = _short_names(domains)
    names = [short[place] for place in seen]
    return [_selection(layer, names, shares[place]) for place, layer in _shown_layers(run)]


def _short_names(domains: Sequence[str]) -> list[str]:
    """Each ``task/subtask`` without its task, where no other task has a subtask of that name."""
    ends = [domain.rsplit("/", 1)[-1] for domain in domains]
    return [end if ends.count(end) == 1 else domain for domain, end in zip(domains, ends, strict=True)]


def _shown_layers(run: RunFolder) -> list[tuple[int, int]]:
    """Place in the counts and number of each layer that is shown."""
    layers = run.routing[-1]["layers"]
    places = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), _MOST_PANELS)).round().astype(int))
    return [(int(place), layers[place]) for place in places]


def _max_vio_by_layer(run: RunFolder) -> Plot:
    lines = [line for line in run.metrics if line.get("max_vio_per_layer")]
    steps = np.array([line["step"] for line in lines])
    layers = np.array([line["max_vio_per_layer"] for line in lines], dtype=float).T
    _, axes = new_figure()
    for layer, values in enumerate(layers):
        label = f"layer {layer}" if len(layers) <= _MOST_PANELS else None
        colour = LAYERS(layer / max(1, len(layers) - 1))
        axes.plot(*thin(steps, smooth(values)), color=colour, linewidth=1.0, alpha=0.8, label=label)
    axes.plot(*thin(steps, smooth(layers.mean(axis=0))), color=INK, linewidth=2, label="mean")
    axes.plot(*thin(steps, smooth(layers.max(axis=0))), color=INK, linewidth=1, linestyle=":", label="max")
    return _finish_max_vio(axes, note="by layer")


def _max_vio_by_run(runs: Sequence[RunFolder]) -> Plot:
    _, axes = new_figure()
    for number, run in enumerate(runs):
        steps, values = run.curve("max_vio")
        if len(steps):
            colour = colour_of_run(number)
            axes.plot(*thin(steps, values), color=colour, alpha=0.2, linewidth=0.7)
            axes.plot(*thin(steps, smooth(values)), color=colour, linewidth=1.8, label=run.name)
    return _finish_max_vio(axes, note="mean over layers")


def _finish_max_vio(axes: Axes, note: str) -> Plot:
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2, frameon=False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    return finish("MaxVio", f"load of the fullest expert over the mean load, less 1 (Eq. 17); {note}", figure)


def _loads(layer: int, steps: np.ndarray, loads: np.ndarray) -> Plot:
    """``loads``: [lines, experts], 1 is an even share."""
    figure, axes = new_figure(height=2.3)
    num_experts = loads.shape[1]
    alpha = 0.9 if num_experts <= _MOST_NUMBERED else 0.35
    for expert, values in enumerate(loads.T):
        colour = RUNS[expert % len(RUNS)] if num_experts <= len(RUNS) else LAYERS(expert / (num_experts - 1))
        axes.plot(steps, values, color=colour, linewidth=1.1, alpha=alpha)
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    axes.set_ylim(bottom=0)
    return finish(f"Layer {layer}", f"load of its {num_experts} experts; 1 is an even share", figure)


def _selection(layer: int, domains: Sequence[str], shares: np.ndarray) -> Plot:
    """``shares``: [domains, experts], each row adding up to 1."""
    num_domains, num_experts = shares.shape
    is_numbered = num_experts <= _MOST_NUMBERED
    figure, axes = new_figure(height=1.0 + 0.38 * num_domains)
    top = max(2 / num_experts, float(shares.max()))
    borders = np.arange(num_experts + 1) - 0.5, np.arange(num_domains + 1) - 0.5
    axes.pcolormesh(
        *borders,
        shares,
        cmap=SELECTION,
        vmin=0,
        vmax=top,
        edgecolors="white",
        linewidth=1.5 if is_numbered else 0,
        rasterized=not is_numbered,
    )
    axes.invert_yaxis()
    for (row, expert), share in np.ndenumerate(shares if is_numbered else np.empty((0, 0))):
        colour = "white" if share > 0.55 * top else INK
        axes.text(expert, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_yticks(range(num_domains), domains)
    axes.set_xticks(range(0, num_experts, 1 if is_numbered else 16))
    axes.tick_params(length=0)
    axes.set_xlabel("expert")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return finish(
        f"Layer {layer}", f"% of each domain's choices; even would be {100 / num_experts:.3g}", figure
    )
