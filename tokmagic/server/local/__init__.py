"""The ``transformers`` engine: any causal language model in a local folder, behind the server's three protocols.

Nothing is fetched: a model is a folder with weights, a tokenizer and a chat template; with a processor, it may take
more than text. One answer is written at a time, first come, first served, so that several models share one machine
without taking each other's memory or speed; or, where that is wanted, several answers of one model in a batch.
Importing this package loads neither torch nor transformers; ``load`` does.
"""

from __future__ import annotations

from .asking import FIELDS
from .engine import LocalEngine
from .loading import Loaded, load, served

__all__ = ["FIELDS", "Loaded", "LocalEngine", "load", "served"]
