"""A call that nothing bounds cannot be held at its worst case, so a limit that refuses must refuse it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import BudgetExceeded
from .limits import Limit
from .messages import Request

#: Tools that the client runs itself, so that they cost nothing beyond their tokens.
CLIENT_TOOLS = frozenset({"custom", "function", "bash", "text_editor", "memory", "computer"})


def run_by_client(kind: str) -> bool:
    """Whether a tool of that type, such as ``memory_20250818``, is run by the client."""
    return kind.partition("_20")[0] in CLIENT_TOOLS


def open_ends(request: Request) -> tuple[str, ...]:
    """What in a request may cost more than its messages and its bound say."""
    return tuple(f"the server tool {tool.get('name') or tool['type']}" for tool in request.server_tools)


def require_bounds(ends: Sequence[str], limits: Iterable[Limit], model: str) -> None:
    """Refuse what nothing bounds, where a limit on money or tokens could be passed by it.

    Args:
        ends: what may cost more than the request says; a call without any may pass.
        limits: those of the call.
        model: its name, as limits know it.

    Raises:
        BudgetExceeded: naming the limit and the open ends.
    """
    for limit in limits if ends else ():
        if limit.full == "refuse" and limit.unit != "requests" and limit.covers(model):
            raise BudgetExceeded(
                f"{limit} cannot be kept: {', '.join(ends)} can cost more than the request says, so nothing was "
                "sent. Leave that out, or lift the limit.",
                limit=str(limit),
                needed=None,
                left=0,
            )
