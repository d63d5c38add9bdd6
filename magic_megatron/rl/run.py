"""Start a run: plan it, join or start Ray, and train."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from magic_megatron import platform
from magic_megatron.config.rl import RlConfig
from magic_megatron.config.rl_env import EnvConfig
from magic_megatron.platform.verl_settings import verl_environment, worker_executable
from magic_megatron.rl.envs.pool import EnvironmentPool
from magic_megatron.rl.preflight import RunPlan, plan_run
from magic_megatron.rl.run_folder import remove_unfinished
from recipes.command import InputError, hold_folder, typed


def run_rl(config: RlConfig) -> None:
    """The whole run. Bad input is refused before Ray starts.

    Raises:
        InputError: naming key, value and fix.
    """
    with hold_folder("output_dir", Path(config.output_dir)):
        _run(config)


def _run(config: RlConfig) -> None:
    platform.activate(config.platform.name)
    environment = verl_environment(config.platform.name)
    os.environ |= environment
    plan = plan_run(config)
    if config.dry_run:
        _write_verl_config(plan)
        print(f"nothing is wrong; verl's config is in {Path(config.output_dir) / 'verl.yaml'}")
        return
    remove_unfinished(Path(config.output_dir) / "checkpoints")
    with contextlib.ExitStack() as stack:
        executable: dict[str, str] = {}
        if config.ray.address is None:  # forks know one node of one cluster, the one that starts here
            log = Path(config.output_dir) / "logs" / "fork_server.log"
            log.parent.mkdir(exist_ok=True)
            executable = stack.enter_context(worker_executable(config.platform.name, environment, log))
        _train(plan, _write_verl_config(plan), {"env_vars": environment, **executable})


def _write_verl_config(plan: RunPlan) -> DictConfig:
    # Imported late: verl takes its platform from the environment.
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    from magic_megatron.rl.verl_config import verl_config

    verl = verl_config(plan.config, plan.orders, plan.resume_from)
    try:
        validate_config(verl, use_reference_policy=need_reference_policy(verl), use_critic=need_critic(verl))
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"verl refuses its config: {' '.join(str(error).split())}; see the keys it names"
        ) from None
    OmegaConf.save(verl, Path(plan.config.output_dir) / "verl.yaml")
    return verl


def start_pool(config: RlConfig) -> EnvironmentPool | None:
    """The processes of the environment, if there is one: they load while the engines do."""
    if not config.env.get("name"):
        return None
    return EnvironmentPool.start(typed(EnvConfig, OmegaConf.create(config.env)))


def _train(plan: RunPlan, verl: DictConfig, runtime_env: dict[str, Any]) -> None:
    import transfer_queue as tq
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ

    from magic_megatron.rl.ray_cluster import log_folder, ray_cluster
    from magic_megatron.rl.trainer import MagicTrainer

    config = plan.config
    with ray_cluster(config.ray, config.nodes, config.gpus_per_node, runtime_env):
        print(f"Ray's workers log to {log_folder()}", file=sys.stderr)
        verl.transfer_queue.enable = True
        OmegaConf.resolve(verl)
        tq.init(verl.transfer_queue)
        pool = start_pool(config)
        try:
            trainer = MagicTrainer(verl)
            trainer.init()
            agents = AgentLoopManagerTQ.create(
                config=verl,
                llm_client=trainer.get_llm_client(),
                teacher_client=trainer.get_teacher_client(),
                reward_loop_worker_handles=trainer.get_reward_handles(),
            )
            trainer.fit(agents)
        finally:
            if pool is not None:
                pool.stop()
            tq.close()
