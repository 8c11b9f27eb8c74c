"""A service whose answers a test writes down, and what such tests say, offer and read."""

from tokmagic.codecs.registry import CODECS
from tokmagic.core.events import Finished, Started
from tokmagic.core.messages import Text, ToolCall, ToolResult
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage
from tokmagic.parts import Parts

ASK = "use the add tool with a=2 and b=3"
MODELS = ("demo/claude", "demo/gpt", "demo/chat")
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


class Scripted(Parts):
    """A service that gives these answers, one after the other, and refuses what no service takes."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.script, self.requests = [], []

    def provider(self, model, loop):
        return self

    connected = provider

    async def stream(self, request):
        self.requests.append(request)
        for protocol in ("messages", "chat"):
            CODECS[protocol].decode_request(CODECS[protocol].encode_request(request))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield Started()
        yield Finished(answer)

    async def count_tokens(self, request):
        return None

    async def aclose(self):
        pass


def said(text="Done.", reason="end"):
    return Answer((Text(text),), Usage(100, output_tokens=10), reason)


def calls(*asked, reason="tool_use", text=""):
    parts = [ToolCall(f"call_{place}", name, arguments) for place, (name, arguments) in enumerate(asked)]
    return Answer((*((Text(text),) if text else ()), *parts), Usage(100, output_tokens=10), reason)


def results(request):
    return [part for message in request.messages for part in message.parts if isinstance(part, ToolResult)]


def text_of(result):
    return "".join(part.text for part in result.parts)


def lambda_named(name, function):
    function.__name__ = name
    return function
