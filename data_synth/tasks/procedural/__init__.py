"""Procedural logic orchestration (section 3.4): a task, candidates, and the workflow that solves it as a graph."""
