"""``python -m evaluation.report``: one page and one ``summary.json`` of what run folders hold."""
