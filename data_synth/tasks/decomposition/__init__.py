"""Hierarchical task decomposition (section 3.1): plans in words for requests of one or several turns."""
