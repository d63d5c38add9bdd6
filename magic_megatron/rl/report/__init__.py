"""``python -m magic_megatron.rl.report``: one page about runs of RL, seeds of one algorithm as a band."""
