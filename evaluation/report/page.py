"""Everything the page's template shows, and the page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from evaluation.report.plots import Plot, accuracy_plot, routing_plots, training_plots
from evaluation.report.run_folder import Evaluation, RunFolder
from evaluation.report.summary import HEADLINE, summarise


@dataclass(frozen=True)
class Tried:
    """A prediction and its verdict."""

    text: str
    is_right: bool
    reason: str


@dataclass(frozen=True)
class Example:
    """A held-out puzzle with its solution, and what the model said before and after training."""

    sample_id: str
    prompt: str
    solution: str
    before: Tried | None
    after: Tried | None


@dataclass(frozen=True)
class Section:
    """One run on the page."""

    run: RunFolder
    summary: dict[str, dict[str, Any]]
    headline: dict[str, Evaluation]
    rejected: Counter[str]
    accuracy: Plot | None
    training: list[Plot]
    routing: list[Plot]
    examples: dict[str, list[Example]]
    errors: list[str]


def make_section(run: RunFolder, num_examples: int) -> Section:
    """What the page shows of ``run``."""
    when = {"before": run.before, "after": run.after}
    return Section(
        run=run,
        summary=summarise(run),
        headline={name: found[HEADLINE] for name, found in when.items() if HEADLINE in found},
        rejected=_count_rejected(run),
        accuracy=accuracy_plot(run) if run.subtasks else None,
        training=training_plots(run),
        routing=routing_plots(run),
        examples={subtask: _pick_examples(run, subtask, num_examples) for subtask in run.subtasks},
        errors=[
            f"{name} training, {subtask}: {len(evaluation.results['errors'])} requests got no answer "
            "and count nowhere"
            for name, found in when.items()
            for subtask, evaluation in found.items()
            if evaluation.results.get("errors")
        ],
    )


def render(sections: list[Section]) -> str:
    """The page: one HTML text without outside assets."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "duration": _duration, "svg": Markup}
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    return environment.from_string(template).render(sections=sections)


def _count_rejected(run: RunFolder) -> Counter[str]:
    """Attempts that gave no row of training data, by reason, over all subtasks."""
    domains = (domain for manifest in run.manifests for domain in manifest["domains"].values())
    return sum((Counter(domain["rejected"]) for domain in domains), Counter())


def _pick_examples(run: RunFolder, subtask: str, num_examples: int) -> list[Example]:
    """Solved and unsolved puzzles by turns, in the order of the data, as far as there are both."""
    before, after = run.before.get(subtask), run.after.get(subtask)
    judged = after or before
    assert judged is not None
    verdicts = {name: verdict for name, verdict in judged.verdicts.items() if name in run.solutions}
    solved = [name for name, verdict in verdicts.items() if verdict["score"] == 1]
    unsolved = [name for name, verdict in verdicts.items() if verdict["score"] != 1]
    num_unsolved = min(len(unsolved), max(num_examples // 2, num_examples - len(solved)))
    chosen = solved[: num_examples - num_unsolved] + unsolved[:num_unsolved]
    return [
        Example(
            sample_id=name,
            prompt=_prompt(run.solutions[name]),
            solution=_solution(run.solutions[name]),
            before=_tried(before, name),
            after=_tried(after, name),
        )
        for name in chosen
    ]


def _tried(evaluation: Evaluation | None, name: str) -> Tried | None:
    if evaluation is None or name not in evaluation.predictions:
        return None
    verdict = evaluation.verdicts[name]
    return Tried(evaluation.predictions[name], verdict["score"] == 1, verdict["reason"])


def _prompt(row: dict[str, Any]) -> str:
    return "\n\n".join(str(m["content"]) for m in row["messages"] if m["role"] != "assistant")


def _solution(row: dict[str, Any]) -> str:
    plan = row["gold"]["natural_plan"]["golden_plan"]
    return "\n".join(plan) if isinstance(plan, list) else str(plan)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
