"""``python -m magic_megatron.sft.report``: one page about a run of SFT, or about several beside one another."""
