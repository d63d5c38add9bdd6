"""``python -m magic_megatron.rl.show``: rollouts as a page, tokens coloured by entropy, rewards beside."""
