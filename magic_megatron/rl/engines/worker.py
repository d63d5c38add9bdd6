"""verl's worker of actor, rollout and reference policy, which knows this project's engines."""

from __future__ import annotations

from typing import Any

from verl.workers.engine_workers import ActorRolloutRefWorker

from magic_megatron.rl.engines import register


class PolicyWorker(ActorRolloutRefWorker):  # type: ignore[misc]
    """To be put in place of verl's in a trainer's ``role_worker_mapping``, as verl does with its own variants.

    verl has no other door into the processes that build engines alone: what ``external_lib`` names is imported by
    vLLM's servers and the driver too.
    """

    def __init__(self, config: Any, role: str, **kwargs: Any) -> None:
        if "megatron" in (config.actor.strategy, config.ref.strategy):
            register()
        super().__init__(config, role, **kwargs)
