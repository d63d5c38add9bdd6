"""``task=all``: the five tasks in one run, each by its weight."""
