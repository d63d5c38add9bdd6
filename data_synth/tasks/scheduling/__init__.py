"""Multi-constraint scheduling (section 3.3 of the paper): calendar, meeting and trip puzzles.

Read ``task.py`` first: it is the five stages in order.
"""
