"""Any history that a service takes is still one it takes after it was made to fit, at any size."""

import random

import pytest

from tests.soak import each
from tokmagic.catalog import demo_models
from tokmagic.codecs.registry import CODECS
from tokmagic.core.errors import RequestTooLarge
from tokmagic.core.fitting import fit
from tokmagic.core.messages import (
    Compaction,
    Image,
    Message,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    system,
)
from tokmagic.core.tokens import count_request
from tokmagic.core.truncation import STRATEGIES
from tokmagic.server import rules
from tokmagic.tokenizers import counter

COUNTERS = (counter("o200k_base"), counter("estimate"))
MODELS = (demo_models()["claude"], demo_models()["chat"])
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")
TOOL = Tool("look", "Look at something.", {"type": "object", "properties": {"at": {"type": "integer"}}})
SENTENCES = (
    "The sea is deep. ",
    "Привет, мир! ",
    "x = 1\n",
    "\n\n",
    "👩‍👩‍👧 ",
    "```\ncode\n```\n",
    "深い海。",
    "é́ ",
    "word ",
)


class Histories:
    """Random histories, each as good as any that a service takes."""

    def __init__(self, seed):
        self.random = random.Random(seed)  # noqa: S311

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def text(self):
        most = 400 if self.chance(8) else 40 if self.chance(40) else 4
        return "So " + "".join(self.random.choices(SENTENCES, k=self.random.randint(1, most))) + "it is."

    def messages(self):
        found = [system(self.text())] if self.chance(50) else []
        found += [Message("user", (Compaction(self.text()),))] if self.chance(15) else []
        for number in range(self.random.randint(1, 7)):
            found += self.exchange(number)
        return [*found, *self.end()]

    def exchange(self, number):
        yield self.question()
        if self.chance(8):
            return  # the call failed
        for turn in range(self.random.choice((0, 0, 0, 1, 2, 5))):
            yield from self.tool_round(f"call_{number}_{turn}")
        said = Text(self.text().rstrip() if self.chance(90) else "Interrup")
        yield Message("assistant", (*self.thinking(), said), pinned=self.chance(4))

    def question(self):
        images = (Image("image/png", PIXEL),) if self.chance(10) else ()
        more = (Text(self.text()),) if self.chance(15) else ()
        return Message("user", (*images, Text(self.text()), *more), pinned=self.chance(5))

    def tool_round(self, name):
        ids = [f"{name}_{number}" for number in range(self.random.randint(1, 3))]
        said = (Text(self.text()),) if self.chance(30) else ()
        yield Message(
            "assistant", (*self.thinking(), *said, *(ToolCall(id, "look", '{"at": 1}') for id in ids)), self.chance(3)
        )
        more = (Text(self.text()),) if self.chance(5) else ()
        yield Message("user", (*(self.result(id) for id in ids), *more), pinned=self.chance(3))

    def result(self, id):
        parts = [Text(self.text())] if self.chance(85) else []
        parts += [Image("image/png", PIXEL)] if self.chance(5) else []
        return ToolResult(id, tuple(parts), is_error=self.chance(10))

    def thinking(self):
        if not self.chance(30):
            return ()
        return (self.random.choice((Reasoning(self.text(), "c2ln"), Reasoning(redacted="b3BhcXVl"), Reasoning("hm"))),)

    def end(self):
        yield self.question()
        for turn in range(self.random.choice((0, 0, 1, 3))):
            yield from self.tool_round(f"last_{turn}")


def must_stay(messages):
    return [m for m in messages if m.role == "system" or m.pinned or any(isinstance(p, Compaction) for p in m.parts)]


def accepted(model, messages, tools, counted):
    """What the service reads of it; raises as the service refuses it."""
    codec = CODECS[model.protocol]
    read = codec.decode_request(codec.encode_request(Request(model.id, tuple(messages), 16, tools=tools)))
    return rules.fitted(read, model, count_request(read.messages, read.tools, counted))


def fit_anew(seed):
    """Make one history fit into a limit of its own, in a way of its own."""
    make = Histories(seed)
    messages, counted = make.messages(), make.random.choice(COUNTERS)
    tools = (TOOL,) if make.chance(80) else ()
    model = make.random.choice(MODELS)
    total = count_request(messages, tools, counted)
    allowed = make.random.randint(1, total)
    wishes = {
        "tools": tools,
        "keep_recent": make.random.randint(0, 12),
        "strategy": make.random.choice(list(STRATEGIES)),
    }
    try:
        fitted = fit(messages, allowed, counted, **wishes)
    except RequestTooLarge:
        return {"refused": 1}
    assert fitted.tokens == count_request(fitted.messages, tools, counted) <= allowed
    assert fitted.tokens + sum(cut.tokens for cut in fitted.cuts) == total
    assert fit(fitted.messages, allowed, counted, **wishes).messages == fitted.messages
    assert must_stay(fitted.messages) == must_stay(messages)
    accepted(model, fitted.messages, tools, counted)
    return {"accepted": 1, "messages": len(messages), "dropped": len(messages) - len(fitted.messages)}


def test_the_histories_are_ones_that_services_take():
    for seed in range(200):
        messages = Histories(seed).messages()
        for model in MODELS:
            accepted(model, messages, (TOOL,), COUNTERS[0])


@pytest.mark.parametrize("tenth", range(10))
def test_a_history_made_to_fit_is_valid_within_the_limit_told_in_full_and_stays_as_it_is(tenth):
    counts = each(fit_anew, range(tenth * 150, (tenth + 1) * 150))
    assert counts["accepted"] > 75
