"""Benchmarks for planning agents: ask an endpoint, score its answers, report a run.

Stands alone: it talks to an OpenAI-compatible endpoint and reads files, and imports neither the data
synthesis nor the training code.
"""
