"""One ``%%llm`` cell from its parsed options to the reply that is bound: expand, quote or send, show, bind.

The reply is bound before anything is raised, so what arrived and was paid for is never lost, also after ■.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from IPython.core.error import StdinNotImplementedError
from IPython.utils.capture import capture_output

from tokmagic.core.errors import BudgetExceeded, MalformedReply, TokmagicError
from tokmagic.core.messages import as_messages, user
from tokmagic.core.money import show_nanousd
from tokmagic.core.replies import Reply
from tokmagic.core.spans import show_seconds
from tokmagic.notebook import markup
from tokmagic.notebook.arguments import CellOptions
from tokmagic.notebook.formats import present
from tokmagic.notebook.images import as_audio, as_image
from tokmagic.notebook.live import Live, LiveMarkdown, LiveText
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.rendering import NotebookView, View
from tokmagic.notebook.template import expand
from tokmagic.notebook.terminal import TerminalView
from tokmagic.notebook.tooling import opened
from tokmagic.notebook.wording import compaction_quote, show_count

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tokmagic.conversation import Conversation
    from tokmagic.core.quotes import Quote
    from tokmagic.options import CallOptions
    from tokmagic.sync import Client, Stream

#: The variable that always holds the last reply.
LAST = "_llm"
#: The magics under which a cell is known.
NAMES = ("%%llm", "%%tok")
#: What an estimate says of an answer that a cell would show again.
KEPT = "kept, free; --fresh asks again"


@dataclass(frozen=True, slots=True)
class Street:
    """What every cell of a notebook shares.

    Attributes:
        threads: the named conversations; a cell adds to them when its call has ended.
        system, max_tokens: defaults for cells that do not say.
        hz: at most so many drawings of an answer per second.
        pulse: called again and again while a call runs, for displays outside the cell.
    """

    shell: InteractiveShell
    client: Client
    threads: dict[str, Conversation]
    system: str | None = None
    max_tokens: int | None = None
    hz: float = 10.0
    pulse: Callable[[], None] = lambda: None


def run(street: Street, options: CellOptions, body: str) -> None:
    """Carry out one cell.

    Raises:
        TokmagicError: in one line; a reply there may be is bound.
        Interrupted: stopped by hand; what had arrived is bound.
    """
    (text, system), above = _expanded(street.shell, (body.strip("\n"), options.system or ""))
    images = [as_image(name, street.shell.user_ns) for name in options.images]
    sounds = [as_audio(name, street.shell.user_ns) for name in options.sounds]
    prompt = [user(text, *images, *sounds)] if images or sounds else list(as_messages(text))
    call = _call_options(street, replace(options, system=system) if options.system else options)
    if options.estimate:
        street.shell.display_pub.publish(estimate(street.client.quote(prompt, **call)))
        return
    if options.confirm_above is not None:
        _confirm(street.client.quote(prompt, **call), options.confirm_above)
    view = _view(street, options, above)
    _answer(street, options, opened(street.client, prompt, call, options, street.shell.user_ns), call["thread"], view)


def _expanded(shell: InteractiveShell, texts: Sequence[str]) -> tuple[list[str], Callable[[], None]]:
    """The texts with their expressions evaluated, and what shows once more what they wrote to the notebook's cell."""
    if not _in_notebook(shell):
        return [expand(text, shell.user_ns) for text in texts], lambda: None
    capture = capture_output()  # type: ignore[no-untyped-call, unused-ignore]
    try:
        with capture as written:
            expanded = [expand(text, shell.user_ns) for text in texts]
    finally:
        written.show()  # type: ignore[no-untyped-call, unused-ignore]
    return expanded, written.show


def _call_options(street: Street, options: CellOptions) -> CallOptions:
    return {
        "model": options.model,
        "system": options.system if options.system is not None else street.system,
        "max_tokens": options.max_tokens or street.max_tokens,
        "temperature": options.temperature,
        "reasoning": options.reasoning,
        "thread": _thread(street, options),
        "compact": options.compact,
        "limits": options.limits,
        "truncate": options.truncate,
        "max_input_tokens": options.max_input_tokens,
        "keep_recent": options.keep_recent,
        "stream": options.stream,
        "replay": True,
        "fresh": options.fresh,
    }


def _thread(street: Street, options: CellOptions) -> Conversation | None:
    if options.thread is None:
        return None
    if options.new or options.thread not in street.threads:
        return street.client.conversation(options.thread)
    return street.threads[options.thread]


def _answer(street: Street, options: CellOptions, stream: Stream, thread: Conversation | None, view: View) -> None:
    failure: BaseException | None = None
    try:
        _watch(stream, view, street.pulse)
    except (TokmagicError, KeyboardInterrupt) as error:
        failure = error
    reply = stream.reply
    if reply is not None:
        _bind(street.shell, options.name, reply)
        if thread is not None:
            street.threads.pop(thread.name, None)
            street.threads[thread.name] = thread
    body = markup.plain("")
    try:
        if reply is not None:
            body = present(reply.text, "markdown" if failure else options.format)
    except MalformedReply as error:
        body, failure = markup.plain(reply.text if reply else ""), error
    view.finish(reply, body)
    if failure is not None:
        raise failure from None


def _watch(stream: Stream, view: View, pulse: Callable[[], None]) -> None:
    with stream as events:
        for event in events.ticks(0.1):
            if event is None:
                view.tick()
            else:
                view.show(event)
            pulse()


def _in_notebook(shell: Any) -> bool:
    return getattr(shell, "kernel", None) is not None


def _view(street: Street, options: CellOptions, above: Callable[[], None]) -> View:
    shell = street.shell
    if not _in_notebook(shell):
        return TerminalView(sys.stdout, sys.stderr, live=options.stream and options.format in ("markdown", "text"))
    own_cell = _is_own_cell(shell) and not options.tools
    return NotebookView(
        shell.display_pub, _live(shell, options, own_cell), own_cell=own_cell, above=above, hz=street.hz
    )


def _live(shell: InteractiveShell, options: CellOptions, own_cell: bool) -> Live | None:
    """How the answer grows; JSON and code grow as Markdown where that can be replaced in the end."""
    if not options.stream:
        return None
    if options.format == "text":
        return LiveText(sys.stdout)
    return LiveMarkdown(shell.display_pub) if own_cell or options.format == "markdown" else None


def _is_own_cell(shell: Any) -> bool:
    """Whether the code that is running begins with the magic, so that nothing else writes to its output."""
    code = shell.get_parent().get("content", {}).get("code", "")
    return str(code).lstrip().startswith(NAMES)


def _bind(shell: InteractiveShell, name: str, reply: Reply) -> None:
    shell.user_ns[LAST] = reply
    if name:
        shell.user_ns[name] = reply


def estimate(quote: Quote) -> Bundle:
    """What a call would be, as a table."""
    wait = "refused by a limit" if quote.wait_seconds is None else show_seconds(quote.wait_seconds)
    cuts = "; ".join(f"{cut.what} ({cut.loss})" for cut in quote.cuts)
    ceiling = show_nanousd(quote.ceiling.nanousd, play=quote.ceiling.play)
    lines = (
        ("model", quote.model),
        ("input", f"{show_count(quote.input_tokens)} tokens"),
        ("answer", KEPT if quote.replayed else f"at most {quote.max_tokens:,} tokens"),
        *((("compaction", compaction_quote(quote.compaction)),) if quote.compaction is not None else ()),
        *((("calls", f"at most {quote.calls:,}"),) if quote.calls > 1 else ()),
        ("cost", f"at most {ceiling}" if quote.ceiling.nanousd is not None else "unknown"),
        ("cut", cuts or "nothing"),
        ("wait now", wait),
    )
    return markup.table(("estimate", "nothing was sent"), lines)


def _confirm(quote: Quote, above: int) -> None:
    ceiling = quote.ceiling.nanousd
    if ceiling is not None and ceiling <= above:
        return
    most = f"up to {show_nanousd(ceiling, play=quote.ceiling.play)}" if ceiling is not None else "an unknown amount"
    asked = f"--confirm-above {show_nanousd(above)}"
    try:
        word = input(f"This call can cost {most}. Send it? [y/N] ")
    except (EOFError, StdinNotImplementedError):
        message = f"The call can cost {most}, above {asked}, and nobody can be asked here: raise it or leave it out."
        raise BudgetExceeded(message, limit=asked, needed=ceiling, left=above) from None
    if word.strip().lower() not in ("y", "yes"):
        message = f"Not sent: the call can cost {most}, above {asked}."
        raise BudgetExceeded(message, limit=asked, needed=ceiling, left=above)
