"""A thread of turns: what a call adds to it."""

from tokmagic.conversation import Conversation
from tokmagic.core.messages import Reasoning, Text, user
from tokmagic.core.money import Cost
from tokmagic.core.replies import Answer, Receipt, Reply
from tokmagic.core.usage import Usage


def reply(*parts):
    return Reply(Answer(parts, None, "interrupted"), Receipt("c", "demo/claude", Usage(), Cost(0)))


def test_an_answer_without_a_word_leaves_the_thread_as_it_was():
    thread = Conversation()
    thread.add((user("Why?"),), reply())
    thread.add((user("Why?"),), reply(Reasoning("Hm, let me")))
    assert len(thread) == 0


def test_an_exchange_is_added_without_the_system_text():
    thread = Conversation()
    thread.add((user("Why?"),), reply(Reasoning("Hm"), Text("Because.")))
    assert [message.text for message in thread.messages] == ["Why?", "Because."]
