"""Agents to talk to, over any OpenAI-compatible endpoint (Appendix H of the paper).

``python -m evaluation.demo demo=tools|travel|router``: ``agent.py`` is the loop of model and tools, ``travel.py`` and
``router.py`` build on it, ``terminal.py`` and ``web.py`` show the same events. Tools run in this process: each one
says in its module what it can reach.
"""
