"""Choosing a diverse subset of rows (section 4.1)."""
