"""The virtualised API simulator (section 3.2): deterministic, stateful answers to tool calls."""

from data_synth.simulator.simulator import Answer, Simulator
from data_synth.simulator.steering import UnsteerableError, Wish

__all__ = ["Answer", "Simulator", "UnsteerableError", "Wish"]
