"""``README.md`` of a folder of rows or of an export: a Hugging Face dataset card, from its manifests alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import yaml

CARD = "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_KEYS = ("seed", "language", "split", "test_share", "validation_share", "num_samples")


def rows_card(manifest: Mapping[str, Any]) -> str:
    """The card of a run's folder, from what its ``manifest.json`` says."""
    files = {"configs": [{"config_name": "default", "data_files": "data.jsonl"}]}
    return _render("rows", [manifest], manifest["domains"], manifest["num_rows"], files, manifest)


def write_export_card(folder: Path, exported: Mapping[str, Any], sources: list[Path]) -> None:
    """Write the card of an export into ``folder``.

    Args:
        exported: ``train_manifest.json`` of the export.
        sources: the ``data.jsonl`` files that it was made of; what made them is told where a manifest lies beside.
    """
    beside = [source.parent / "manifest.json" for source in sources]
    manifests = [json.loads(path.read_text("utf-8")) for path in beside if path.is_file()]
    known = [manifest for manifest in manifests if "domains" in manifest and "settings" in manifest]
    data = [name for name in ("train_messages.jsonl", "train.parquet") if name in exported["files"]]
    configs = [{"config_name": Path(name).stem.removeprefix("train_"), "data_files": name} for name in data]
    files = {"configs": configs} if configs else {}
    _write(folder, _render("export", known, exported["domains"], exported["num_rows"], files, exported))


def _render(
    kind: str,
    runs: list[Mapping[str, Any]],
    domains: Any,
    num_rows: int,
    files: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> str:
    head = {
        "pretty_name": "MagicAgent planning data",
        "language": _languages(runs),
        "task_categories": ["text-generation"],
        "tags": ["planning", "tool-use", "agent", "synthetic"],
        "size_categories": [next((name for most, name in _SIZES if num_rows < most), "n>1M")],
        **files,
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = resources.files(__package__).joinpath("card.md.j2").read_text("utf-8")
    return environment.from_string(template).render(
        kind=kind,
        head=yaml.safe_dump({key: value for key, value in head.items() if value}, sort_keys=False),
        runs=[_run(run) for run in runs],
        domains=domains,
        num_rows=num_rows,
        manifest=manifest,
        tool_sources=_tool_sources(runs),
    )


def _run(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the template says of one run, gathered from its manifest."""
    settings, domains = manifest["settings"], manifest["domains"]
    rejected: dict[str, int] = {}
    for domain in domains.values():
        for reason, count in domain["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
    return {
        "generators": manifest.get("generators")
        or {settings.get("generator", "unknown"): manifest["num_rows"]},
        "settings": {key: settings[key] for key in _KEYS if key in settings},
        "llm": settings.get("llm.name"),
        "models": manifest.get("models", {}),
        "usage": {
            key: value for key, value in manifest.get("llm", {}).items() if not isinstance(value, dict)
        },
        "domains": domains,
        "num_rows": manifest["num_rows"],
        "num_rejected": manifest["num_rejected"],
        "rejected": dict(sorted(rejected.items())),
        "tools": manifest.get("tools"),
        "sources": manifest.get("sources", []),
    }


def _languages(runs: list[Mapping[str, Any]]) -> list[str]:
    domains = [domain for run in runs for domain in run["domains"].values()]
    return sorted({language for domain in domains for language in domain["languages"]})


def _tool_sources(runs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each source and licence once; of runs with the same tools the larger number, since their tools overlap."""
    found: dict[tuple[str, str], int] = {}
    for run in runs:
        for entry in run.get("tools", {}).get("sources", ()):
            key = (entry["source"], entry["licence"])
            found[key] = max(found.get(key, 0), entry["num_tools"])
    return [
        {"source": source, "licence": licence, "num_tools": count}
        for (source, licence), count in sorted(found.items())
    ]


def _write(folder: Path, text: str) -> None:
    partial = folder / f".{CARD}.partial"
    partial.write_text(text, "utf-8")
    partial.replace(folder / CARD)
