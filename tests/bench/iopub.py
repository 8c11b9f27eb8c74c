"""Bytes and messages on IOPub for one long answer, against publishing the whole text anew with each update."""

from __future__ import annotations

from ipykernel.zmqshell import ZMQDisplayPublisher
from jupyter_client.session import Session

from tests.notebook.test_traffic import ANSWER, PER_SECOND, UPDATES, Wire, sent


def whole(answer: str) -> Wire:
    """The same answer and updates, the whole text published each time."""
    wire, session = Wire(), Session(key=b"key")
    screen = ZMQDisplayPublisher(session=session, pub_socket=wire)
    screen.set_parent(session.msg("execute_request"))
    step = len(answer) // UPDATES
    for end in range(step, len(answer) + 1, step):
        screen.publish({"text/markdown": answer[:end]}, transient={"display_id": "one"}, update=end > step)
    return wire


def run() -> None:
    """Print both, at the default pace and with every update drawn."""
    peer = whole(ANSWER)
    print(f"answer of {len(ANSWER):,} characters in {UPDATES:,} updates, {PER_SECOND} a second:")
    print(f"          whole text each time:   {peer.bytes / 1e6:7.1f} MB in {peer.messages:,} messages")
    for hz, name in ((10.0, "drawn 10 times a second"), (1_000.0, "every update drawn")):
        ours = sent(ANSWER, hz=hz)
        ratio = f"{peer.bytes / ours.bytes:.0f}x fewer bytes"
        print(f"          {name + ':':<23} {ours.bytes / 1e6:7.1f} MB in {ours.messages:,} messages, {ratio}")
