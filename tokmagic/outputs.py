"""A type for an answer: asked for in the request's own words for it, and read from the answer's text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tokmagic.core.errors import ConfigurationError, MalformedReply
from tokmagic.core.models import Protocol
from tokmagic.core.schemas import answer_format

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Output:
    """A type that an answer must have.

    Attributes:
        type: a model of pydantic's, a dataclass, or any other type that pydantic knows.
    """

    type: Any

    def fields(self, protocol: Protocol) -> dict[str, Any]:
        """What asks for it in a request's body.

        Raises:
            ConfigurationError: pydantic does not know the type.
        """
        from pydantic.errors import PydanticUserError

        try:
            return answer_format(protocol, self._name, self._adapter.json_schema())
        except PydanticUserError as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"output cannot be {self._name}: {reason}") from None

    def value(self, text: str) -> Any:
        """The value that the answer is.

        Raises:
            MalformedReply: it is none of that type.
        """
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "all of it"
            raise MalformedReply(f"The answer is no {self._name}: {where}: {fault['msg']}.") from None

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        return TypeAdapter(self.type)

    @property
    def _name(self) -> str:
        return str(getattr(self.type, "__name__", self.type))
