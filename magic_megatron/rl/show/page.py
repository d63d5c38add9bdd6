"""The page of rollouts, written group by group."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from magic_megatron.rl.show.groups import Shown, embedded, entropy_scale


def write_page(shown: Shown, source: str, output: Path) -> None:
    """One HTML file without outside assets, written aside and renamed.

    Raises:
        OSError: ``output`` can't be written.
    """
    partial = output.with_suffix(output.suffix + ".partial")
    with partial.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(_pieces(shown, source))
    partial.replace(output)


def _pieces(shown: Shown, source: str) -> Iterator[str]:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_read),
    )
    environment.filters |= {"number": "{:,}".format}
    return environment.get_template("page.html.j2").generate(
        source=source,
        shown=shown,
        steps=sorted({group.step for group in shown.groups}),
        tasks=sorted({group.task for group in shown.groups}),
        index=Markup(embedded([group.index() for group in shown.groups])),
        scale=entropy_scale(shown.groups),
        groups=(Markup(group.json()) for group in shown.groups),
    )


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
