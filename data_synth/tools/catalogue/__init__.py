"""The built-in tools: one YAML file per domain, written in a short notation that ``loader`` expands.

``README.md`` in this folder explains the notation.
"""

from data_synth.tools.catalogue.loader import load_catalogue

__all__ = ["load_catalogue"]
