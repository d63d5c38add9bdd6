"""The virtualised API simulator (section 3.2): deterministic, stateful answers to tool calls."""
