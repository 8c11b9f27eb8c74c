"""What limits count in, over what time, for whom, and what they do when they are full: the words, and nothing else."""

from __future__ import annotations

from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["requests", "input_tokens", "output_tokens", "tokens", "nanousd"]
Window: TypeAlias = Literal["call", "minute", "hour", "day", "month", "session", "total"]
Scope: TypeAlias = Literal["session", "notebook", "key", "user", "team"]
Full: TypeAlias = Literal["refuse", "wait"]
#: Who set a limit; from ``config`` up it can only be lowered from a notebook.
Source: TypeAlias = Literal["cell", "notebook", "provider", "config"]
