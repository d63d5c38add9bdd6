"""verl's engines on this project's model. ``register`` is all that a worker process calls."""

from __future__ import annotations

from magic_megatron.platform import activate


def register() -> None:
    """Let verl's ``strategy=megatron`` mean ``engines.megatron`` in this process. Safe to call again.

    Call it before ``verl.workers.engine`` is imported: in rehearsal, Megatron-Core must find the CPU as its device.
    """
    # Imported late, as is the engine: a driver that wants verl's keys only shall not wait for verl.
    from verl.utils.device import get_device_name

    activate("rehearsal" if get_device_name() == "cpu" else "cuda")
    from magic_megatron.rl.engines import megatron  # noqa: F401
