"""``python -m evaluation.efficiency``: how fast an endpoint answers, as in the paper's Table 7.

``stream.py`` tells the times of a recorded answer, ``load.py`` keeps requests under way and records them,
``prompts.py`` makes prompts of a given length, ``levels.py`` sums up.
"""
