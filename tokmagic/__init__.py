"""tokmagic: LLM cells for Jupyter with a fuel gauge."""

__version__ = "0.1.0"
