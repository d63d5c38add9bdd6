"""verl's synchronous trainer with this project's engine in its workers: ``engine_driver.py ENGINE.json OVERRIDE...``.

ENGINE.json is laid over ``actor_rollout_ref``; the overrides are those of ``verl.trainer.main_ppo``.
"""

import json
import sys
from pathlib import Path

import ray
import transfer_queue as tq
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
from verl.trainer.ppo.v1 import AgentLoopManagerTQ
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from magic_megatron.rl.engines.worker import PolicyWorker


class EngineTrainer(PPOTrainerSync):
    def _init_resource_pool_mgr(self):
        super()._init_resource_pool_mgr()
        self.role_worker_mapping = dict.fromkeys(self.role_worker_mapping, ray.remote(PolicyWorker))


def main(engine, overrides):
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", ["model_engine=megatron", *overrides])
    OmegaConf.set_struct(config, False)
    config.actor_rollout_ref.merge_with(OmegaConf.create(engine))
    config.transfer_queue.enable = True
    OmegaConf.resolve(config)
    settings = OmegaConf.to_container(config.ray_kwargs.ray_init)
    settings["runtime_env"] = get_ppo_ray_runtime_env(config)
    settings["runtime_env"]["env_vars"]["TRANSFER_QUEUE_ENABLE"] = "1"
    ray.init(**settings)
    tq.init(config.transfer_queue)
    try:
        trainer = EngineTrainer(config)
        trainer.init()
        agents = AgentLoopManagerTQ.create(
            config=config,
            llm_client=trainer.get_llm_client(),
            teacher_client=trainer.get_teacher_client(),
            reward_loop_worker_handles=trainer.get_reward_handles(),
        )
        trainer.fit(agents)
    finally:
        tq.close()
        ray.shutdown()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:])
