"""A thread: the turns of a running conversation, grown by each call that is given it."""

from __future__ import annotations

from tokmagic.core.messages import Message, Reasoning
from tokmagic.core.replies import Reply


class Conversation:
    """The turns so far. Pass it as ``thread=`` to a call: the call sends them, and adds its own two turns when it ends.

    A call that fails adds nothing. One that is stopped by hand adds what had arrived. Of two calls at once each sends
    the turns there were when it was made, and adds its own exchange whole when it ends.

    Attributes:
        name: for displays.
        messages: the turns, the oldest first.
    """

    def __init__(self, name: str = "", messages: tuple[Message, ...] = ()) -> None:
        self.name = name
        self.messages: list[Message] = list(messages)

    def add(self, turns: tuple[Message, ...], reply: Reply) -> None:
        """Grow by what was asked and what was answered; an answer without a word leaves the thread as it was."""
        if any(not isinstance(part, Reasoning) for part in reply.answer.parts):
            self.messages += [*(turn for turn in turns if turn.role != "system"), reply.message]

    def clear(self) -> None:
        """Forget every turn."""
        self.messages.clear()

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Conversation {self.name!r}: {len(self)} messages>"
