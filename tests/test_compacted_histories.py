"""Any history that a service takes is still one it takes after it was compacted, in any way, again and again."""

from collections import Counter

import pytest

from tests.soak import each
from tests.test_histories import COUNTERS, TOOL, Histories
from tokmagic.catalog import demo_models
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.wire import compact_json
from tokmagic.core.compaction import (
    LEAST_SAVED_PERCENT,
    objection,
    plan_compaction,
    splice,
    tokens_after,
    unanswered,
    without_thinking,
)
from tokmagic.core.errors import RequestTooLarge
from tokmagic.core.exchanges import is_question
from tokmagic.core.extracting import extract
from tokmagic.core.fitting import fit
from tokmagic.core.messages import Compaction, Extras, Message, Reasoning, Request, Text, ToolCall, ToolResult
from tokmagic.core.replies import Answer
from tokmagic.core.summarising import headed
from tokmagic.core.tokens import count_request
from tokmagic.server import compaction, rules
from tokmagic.server.seals import seal

MODELS = [demo_models()[name] for name in ("claude", "gpt", "chat")]
WAYS = ("server", "summary", "extract")
BETA = {"anthropic-beta": compaction.BETA}


class LongHistories(Histories):
    """Histories of which some are still waiting for a tool, and some were interrupted in their last answer."""

    part = 0

    def messages(self):
        found = []
        for part in range(self.random.randint(1, 3)):
            self.part = part
            found += super().messages()
        first = [message for message in found if message.role == "system"][:1]
        found = [*first, *(message for message in found if message.role != "system")]
        if self.chance(30) and isinstance(found[-1].parts[0], ToolResult):
            return found[:-1]
        if self.chance(20):
            return [*found, Message("assistant", (Text("It is inter"),))]
        return found

    def tool_round(self, name):
        return super().tool_round(f"{name}_{self.part}")


def accepted(model, messages, tools, counted, **body):
    """What the service reads of it, unanswered calls answered; raises as the service refuses it."""
    waiting = [part for part in messages[-1].parts if isinstance(part, ToolCall)]
    results = tuple(ToolResult(call.id, (Text("Done."),)) for call in waiting)
    messages = [*messages, *((Message("user", results),) if results else ())]
    codec = CODECS[model.protocol]
    sent = codec.encode_request(Request(model.id, tuple(messages), 16, tools=tools)) | body
    read = codec.decode_request(sent)
    if model.protocol == "messages":
        read = compaction.checked(read, BETA)
    return rules.fitted(read, model, count_request(read.messages, read.tools, counted))


def summary_by(way, make, plan, model, tools, counted):
    """A summary, good or bad, and why its answer ended; None where there is no such way."""
    text = make.text() * (1 if make.chance(80) else 30) if make.chance(95) else " "
    ended = "end" if make.chance(90) else make.random.choice(("max_tokens", "refusal", "interrupted", "unknown"))
    if way == "extract":
        return Compaction(headed(extract(plan.replaced, plan.summary_tokens, counted.count))), "end"
    if way == "summary":
        return Compaction(headed(text)), ended
    if model.protocol == "chat" or plan.leading is None:
        return None
    if model.protocol == "responses":
        accepted(model, plan.leading, tools, counted)
        item = {"id": "cmp_1", "type": "compaction", "encrypted_content": seal(text)}
        return Compaction(headed(text), "openai", compact_json(item)), "compaction"
    asked = accepted(model, plan.leading, tools, counted, compaction={"type": "summarize"})
    assert asked.extras == Extras(body={"compaction": {"type": "summarize"}})
    answer = compaction.as_block(Answer((Text(text),), stop_reason=ended))
    return answer.parts[0], answer.stop_reason


def compacted(make, plan, model, tools, counted, start):
    """The history with the first summary that is good enough in it, that summary and its way; None if none is."""
    for way in WAYS[start:]:
        found = summary_by(way, make, plan, model, tools, counted)
        if found is not None and not objection(plan, *found, counted):
            return splice(plan, found[0]), found[0], way
    return None


def check_kept(before, after, plan, model):
    """The system's text, pinned turns, the last question and turn stay; what stays is as it was, and whole."""
    same = (lambda message: message) if model.protocol != "messages" else without_thinking
    old, new = [same(message) for message in before], [same(message) for message in after]
    stays = [message for message in before if message.role == "system" or message.pinned]
    turns = [message for message in before if message.role != "system"]
    stays += [turns[-1], *[message for message in turns if is_question(message) and not summarises(message)][-1:]]
    assert [message for message in map(same, stays) if message is not None and message not in new] == []
    parts = {part for message in before for part in message.parts}
    assert [part for message in after for part in message.parts if part not in parts and not is_summary(part)] == []
    whole = [message for message in new if message.role == "assistant" and not summarises(message)]
    assert [message for message in whole if message not in old] == []
    assert sum(map(summarises, after)) - sum(summarises(m) and m.pinned for m in before) == 1
    assert unanswered(after) == unanswered(before)
    thinks = any(isinstance(part, Reasoning) for message in after for part in message.parts)
    assert not (thinks and model.protocol == "messages")
    assert len(plan.replaced) + len(plan.kept) + old.count(None) >= len(before)


def summarises(message):
    return all(map(is_summary, message.parts))


def is_summary(part):
    return isinstance(part, Compaction)


def compact_anew(seed):
    """Compact one history again and again, until nothing more is saved, and make it fit into a window at last."""
    make = LongHistories(seed)
    counted, model, start = make.random.choice(COUNTERS), make.random.choice(MODELS), make.random.randrange(len(WAYS))
    messages, tools = tuple(make.messages()), (TOOL,) if make.chance(80) else ()
    wishes = {"keep_recent": make.random.randint(0, 12), "tools": tools, "thinking": model.protocol != "messages"}
    counts, sizes = Counter(), [count_request(messages, tools, counted)]
    wishes["threshold"] = make.random.randint(1, 2 * sizes[0])
    while not (plan := plan_compaction(messages, counted, **wishes)).shortfall:
        assert plan.tokens == sizes[-1]
        found = compacted(make, plan, model, tools, counted, start)
        if found is None:
            counts["given up"] = 1
            break
        before, (messages, summary, way) = messages, found
        sizes.append(count_request(messages, tools, counted))
        assert sizes[-1] == tokens_after(plan, summary, counted)
        assert sizes[-1] * 100 <= sizes[-2] * (100 - LEAST_SAVED_PERCENT)
        check_kept(before, messages, plan, model)
        accepted(model, messages, tools, counted)
        counts[f"by {way}"] += 1
    assert len(sizes) <= 21
    return (
        counts | {"compacted": int(len(sizes) > 1)} | fitted_at_last(make, messages, model, tools, counted, sizes[-1])
    )


def fitted_at_last(make, messages, model, tools, counted, size):
    window = make.random.randint(1, size)
    try:
        fitted = fit(messages, window, counted, tools=tools)
    except RequestTooLarge:
        return {"refused": 1}
    assert fitted.tokens <= window
    accepted(model, fitted.messages, tools, counted)
    return {"fitted": 1}


def test_the_histories_are_ones_that_services_take():
    for seed in range(100):
        messages = LongHistories(seed).messages()
        for model in MODELS:
            accepted(model, messages, (TOOL,), COUNTERS[0])


@pytest.mark.parametrize("tenth", range(10))
def test_a_compacted_history_is_valid_smaller_keeps_what_it_must_and_comes_to_an_end(tenth):
    counts = each(compact_anew, range(tenth * 100, (tenth + 1) * 100))
    assert counts["compacted"] > 50
    assert min(counts[f"by {way}"] for way in WAYS) > 0
