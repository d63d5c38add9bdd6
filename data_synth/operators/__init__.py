"""Plans as typed graphs, and the paper's six operators on them (section 3.1)."""
