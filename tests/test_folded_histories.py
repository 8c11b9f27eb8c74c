"""Any thread that a service compacted while it answered is one that services take, and reads as the service left it."""

from dataclasses import replace

import pytest

from tests.soak import each
from tests.test_compacted_histories import LongHistories, accepted
from tests.test_histories import COUNTERS, TOOL
from tokmagic.catalog import demo_models
from tokmagic.codecs.registry import CODECS
from tokmagic.conversation import Conversation
from tokmagic.core.compaction import plan_compaction, splice
from tokmagic.core.errors import RequestTooLarge
from tokmagic.core.events import Compacted, Notice
from tokmagic.core.fitting import fit
from tokmagic.core.messages import CompactAt, Compaction, Message, Request, Text, ToolCall, ToolResult
from tokmagic.core.money import Cost
from tokmagic.core.replies import Answer, Receipt, Reply
from tokmagic.core.summarising import headed
from tokmagic.core.tokens import count_request
from tokmagic.core.toolcalls import closed
from tokmagic.core.usage import Usage
from tokmagic.folding import fold
from tokmagic.server import compaction, responses, thresholds
from tokmagic.server.calls import Call
from tokmagic.server.engine import counted as counted_whole

MODELS = [demo_models()[name] for name in ("claude", "gpt")]
OTHERS = [demo_models()[name] for name in ("claude", "gpt", "chat")]
BETAS = {"anthropic-beta": f"{compaction.BETA},{thresholds.BETA}"}


def read(model, messages):
    """A request of these messages as the service reads it, without what an earlier summary stands for."""
    asked = Request(model.id, tuple(messages), 16, tools=(TOOL,), compact_at=CompactAt(50_000))
    body = CODECS[model.protocol].encode_request(asked)
    if model.protocol == "responses":
        return responses.read_request(body)
    return compaction.checked(CODECS["messages"].decode_request(body), BETAS)


def answered(make, model, messages, counter):
    """What the service answers behind a summary, good or bad, and what of the call the answer was made from."""
    call = Call(read(model, messages), model, CODECS[model.protocol], counter, 0, counted_whole)
    call = replace(call, input_tokens=counted_whole(call.request, counter))
    text = make.text() * (1 if make.chance(80) else 30) if make.chance(95) else " "
    ended = "end" if make.chance(90) else "max_tokens"
    found = thresholds.compacted(call, Answer((Text(text),), Usage(9, output_tokens=9), ended))
    calls = (ToolCall("now_1", "look", "{}"),) if make.chance(30) else ()
    summary = (found.part,) if found.part is not None else ()
    # a seal is read by nobody but the service
    summary = tuple(replace(part, text="") if part.provider == "openai" else part for part in summary)
    return Answer((*summary, *make.thinking(), Text("So be it."), *calls), Usage(9, output_tokens=9), "end")


def grown(make, model, answer, asked):
    """The thread with the answer in it, as a call leaves it."""
    thread = Conversation("sea", tuple(asked[:-1]))
    receipt = Receipt("call", model.name, Usage(), Cost(0))
    thread.add((asked[-1],), Reply(answer, receipt))
    return thread, Reply(answer, receipt)


def goes_on(messages):
    """The messages, their open calls answered, with another question."""
    waiting = [part for part in messages[-1].parts if isinstance(part, ToolCall)]
    results = tuple(ToolResult(call.id, (Text("Done."),)) for call in waiting)
    return [*messages, Message("user", (*results, Text("And then?")))]


def spoken(request):
    """What is said in a request, whatever turns it comes in."""
    return [part for message in request.turns for part in message.parts if not isinstance(part, Text) or part.text]


def fold_anew(seed):
    """Let a service compact one history, read it in every way, and go on with it as far as it goes."""
    make = LongHistories(seed)
    counter, model = make.random.choice(COUNTERS), make.random.choice(MODELS)
    history = closed([replace(message, pinned=False) for message in make.messages()])
    if history[-1].role == "assistant" or any(isinstance(part, ToolCall) for part in history[-1].parts):
        history = tuple(goes_on(list(history)))
    head = tuple(message for message in history if message.role == "system")
    asked = tuple(message for message in history if message.role != "system")
    answer = answered(make, model, history, counter)
    thread, reply = grown(make, model, answer, asked)
    plain = tuple(thread.messages)
    found = fold(thread, head, asked, reply, model, counter)
    if not isinstance(found, Compacted):
        assert tuple(thread.messages) == plain
        assert (thread.stuck != "") == isinstance(found, Notice)
        return {"left alone": 1}
    check_folded(model, head, thread, reply, plain)
    for other in OTHERS:
        accepted(other, goes_on([*head, *thread.messages]), (TOOL,), counter)
    return {"folded": 1} | compacted_at_last(make, model, goes_on([*head, *thread.messages]), counter)


def check_folded(model, head, thread, reply, plain):
    """It is what the service itself leaves of it when all is sent back, byte for byte, and forgets nothing."""
    block, *_ = [part for message in thread.messages for part in message.parts if isinstance(part, Compaction)]
    assert block.raw == reply.answer.compaction.raw
    whole = [*head, *plain[:-1], reply.message]
    pruned = read(model, goes_on([*head, *thread.messages]))
    assert spoken(read(model, goes_on(whole))) == spoken(pruned)
    assert thread.history == plain
    record = thread.compactions[-1]
    assert record.tokens_after * 100 <= record.tokens_before * 80
    assert record.replaced + record.kept == len(plain)
    again = Conversation("again", thread.history)
    again.replace(plain, tuple(thread.messages), record)
    again.undo()
    assert tuple(again.messages) == plain


def compacted_at_last(make, model, messages, counter):
    make.part = 9
    messages = [*messages, *(message for number in range(4) for message in make.exchange(number)), make.question()]
    size = count_request(messages, (TOOL,), counter)
    plan = plan_compaction(messages, counter, threshold=max(1, size // 2), keep_recent=make.random.randint(0, 3))
    if not plan.shortfall:
        assert sum(isinstance(part, Compaction) for message in plan.replaced for part in message.parts) <= 1
        accepted(model, splice(plan, Compaction(headed("They talked."))), (TOOL,), counter)
    try:
        fitted = fit(messages, make.random.randint(1, size), counter, tools=(TOOL,))
    except RequestTooLarge:
        return {"refused": 1}
    accepted(model, fitted.messages, (TOOL,), counter)
    return {"fitted": 1, "planned": int(not plan.shortfall)}


@pytest.mark.parametrize("fifth", range(5))
def test_a_thread_that_its_service_compacted_is_valid_and_reads_as_the_service_left_it(fifth):
    counts = each(fold_anew, range(fifth * 40, (fifth + 1) * 40))
    assert counts["folded"] > 15
    assert counts["left alone"] > 2
    assert counts["fitted"] > 5
    assert counts["planned"] > 5
