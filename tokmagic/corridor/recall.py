"""The first step of a call: whether the same was asked before, and is paid for. And the last: to keep the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokmagic.core.errors import ReplayError
from tokmagic.core.messages import Message
from tokmagic.core.replays import as_text, from_text, replay_key, worth_keeping
from tokmagic.core.replies import Reply
from tokmagic.options import CallOptions, wishes_of
from tokmagic.parts import Parts


@dataclass(frozen=True, slots=True)
class Recall:
    """One call and the replay store. Each method blocks, and may be called from any thread.

    Attributes:
        parts: whose store it is.
        options: of the call; without ``replay`` nothing is looked for or kept, with ``fresh`` nothing is looked for.
        messages: all that is said.
        names: of the models to ask; None stands for the default.
    """

    parts: Parts
    options: CallOptions
    messages: tuple[Message, ...]
    names: Sequence[str | None]

    @property
    def wanted(self) -> bool:
        """Whether the call may be answered from the store."""
        return bool(self.options.get("replay")) and not self.options.get("fresh")

    def find(self) -> Reply | None:
        """The kept reply, or None. A store that cannot be read has none; ``keep`` will say so."""
        if not self.wanted:
            return None
        try:
            found = self.parts.replays.find(self.key())
        except ReplayError:
            return None
        return from_text(found) if found is not None else None

    def keeps(self, reply: Reply) -> bool:
        """Whether the reply is one to keep."""
        return bool(self.options.get("replay")) and not reply.receipt.replayed and worth_keeping(reply)

    def keep(self, reply: Reply) -> str:
        """Keep the reply; what there is to say if that failed."""
        try:
            self.parts.replays.keep(self.key(), as_text(reply))
        except ReplayError as error:
            return f"The answer is not kept for another run: {error}"
        return ""

    def key(self) -> str:
        """What the answer is kept under."""
        models = [self.parts.model(name or self.parts.default_model()[0]).name for name in self.names]
        return replay_key(models, self.messages, wishes_of(self.options, self.parts.settings.max_tokens))
