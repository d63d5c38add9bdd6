"""Layouts, memory and time of a training run, estimated from its recipe: no torch, no Megatron-Core, no GPU."""
