"""All redirections as the table of ``docs/rehearsal.md``; ``python -m magic_megatron.platform.table`` prints it."""

from __future__ import annotations

from magic_megatron.platform import gloo, megatron_core, torch_cuda, verl_plugin, vllm_plugin, vllm_server
from magic_megatron.platform.redirection import Redirection

# Where each is installed, and its rows in the order of installation.
TABLES: dict[str, tuple[Redirection, ...]] = {
    "torch's process groups on gloo (`gloo.py`)": gloo.REDIRECTIONS,
    "Megatron-Core's uses of `torch.cuda` (`torch_cuda.py`)": torch_cuda.REDIRECTIONS,
    "Inside Megatron-Core (`megatron_core.py`)": megatron_core.REDIRECTIONS,
    "vLLM's server (`vllm_server.py`)": vllm_server.REDIRECTIONS,
    "verl, with `VERL_PLATFORM=cpu` (`verl_plugin.py`)": verl_plugin.REDIRECTIONS,
    "vLLM under verl, with `VERL_PLATFORM=cpu` (`vllm_plugin.py`)": vllm_plugin.REDIRECTIONS,
}


def markdown() -> str:
    """One table a place of installation."""
    return "\n\n".join(f"### {title}\n\n{_table(rows)}" for title, rows in TABLES.items())


def _table(rows: tuple[Redirection, ...]) -> str:
    known = ", ".join(dict.fromkeys(f"{row.package} {row.versions}" for row in rows))
    lines = [f"Known versions: {known}.", ""]
    lines += ["| redirection | upstream file | why | goes when |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.upstream} | {row.why} | {row.until} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
