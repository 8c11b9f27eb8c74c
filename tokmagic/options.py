"""The options of a call, named once: given to a client they are defaults, given to a call they win."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, TypedDict, cast

from tokmagic.conversation import Conversation
from tokmagic.core.checks import require, require_finite, whole
from tokmagic.core.compaction import Compacting, mode_named
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.fitting import OFF
from tokmagic.core.limits import Limit
from tokmagic.core.messages import EFFORTS, Extras, Reasoned, ToolCall
from tokmagic.core.planning import Wishes
from tokmagic.core.reasoning import LEAST_BUDGET
from tokmagic.core.truncation import STRATEGIES
from tokmagic.extras import KEY_NAMES, NO_KEYS, check_extras, check_server_tools
from tokmagic.functions import Offered, described

#: How too long input is treated where nothing is said, and the two ways that cut nothing.
DEFAULT_TRUNCATION, SPLIT = "smart", "split"
A_THREAD = "a conversation, such as client.conversation()"
_TEXT, _SWITCH = (str, "a text"), (bool, "True or False")
_FIELDS: tuple[type, str] = (Mapping, "a mapping of names to values")
#: Options that are of one kind: its type, and its words.
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(("system", "cell", "notebook"), _TEXT),
    **dict.fromkeys(("extended_output", "cache", "stream", "replay", "fresh"), _SWITCH),
    **dict.fromkeys(("extra_headers", "extra_query", "extra_body"), _FIELDS),
    "thread": (Conversation, A_THREAD),
    "compact": ((str, Compacting), "the name of a mode, such as auto, or a tm.Compacting"),
}
#: Options that are whole numbers: the least that will do.
_WHOLE = {"max_tokens": 1, "max_input_tokens": 1, "keep_recent": 0}


class ClientOptions(TypedDict, total=False):
    """What may be said about every call of a client; None means *not said*.

    Attributes:
        system: the system text.
        max_tokens: bound of the answer, in tokens.
        max_input_tokens: a cap on the input below the window, in tokens.
        keep_recent: messages kept word for word as long as possible.
        truncate: how too long input is cut: a strategy's name; ``split`` to send it in parts; ``off`` to refuse.
        extended_output: switch on the longer answers a model offers.
        temperature: 0 or more.
        reasoning: how much to think: ``off``, ``low``, ``medium``, ``high``, or a budget in tokens.
        cache: mark the beginning of what is said for the service to cache, as pays where calls that begin alike follow
            within minutes; without a word that is done in threads.
        server_tools: tools that the service runs itself, in its own words. What they read and cost has no bound that is
            known beforehand, so a limit on money or tokens refuses them.
        stop: the text, or texts, at which the answer ends.
        stream: False asks for the answer in one piece.
        limits: further limits for this call, in words such as ``0.10 usd/call``.
        thread: a conversation to continue.
        compact: when its earlier turns are replaced by a summary: ``auto``, ``economic``, ``server`` (by the service
            itself while it answers), ``now``, ``off``, or a ``Compacting`` for the details.
        timeout: seconds from when it is sent until the reply must be complete; waits for limits do not count.
        extra_headers, extra_query, extra_body: added to the HTTP request as they are; ``extras`` says what is refused.
        replay: answer at no cost what was asked before, and keep the answer for the next time.
        fresh: with ``replay``, ask again all the same.
        cell, notebook: where it comes from, for the book.
    """

    system: str | None
    max_tokens: int | None
    max_input_tokens: int | None
    keep_recent: int | None
    truncate: str | None
    extended_output: bool | None
    temperature: float | None
    reasoning: Reasoned | None
    cache: bool | None
    server_tools: Sequence[Mapping[str, Any]] | None
    stop: str | Sequence[str] | None
    stream: bool | None
    limits: Sequence[str | Limit]
    thread: Conversation | None
    compact: str | Compacting | None
    timeout: float | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    replay: bool | None
    fresh: bool | None
    cell: str
    notebook: str


class CallOptions(ClientOptions, total=False):
    """What may be said about one call: what a client takes, and ``model``.

    Attributes:
        model: ``provider/model``, or a bare name; of several (a list, or with commas) the next one is asked where one
            fails for good.
        tools: functions, objects that describe themselves (``ToolObject``), or descriptions of such, that the model may
            ask to be called; ``run_tools`` calls them.
    """

    model: str | Sequence[str] | None
    tools: Sequence[Offered] | None


class ToolOptions(CallOptions, total=False):
    """What may be said about a run of tools: what each of its calls takes, with ``limits`` per call for the whole run.

    Attributes:
        max_iterations: turns of the model, at most.
        output: a pydantic model, dataclass or other type that the last answer must have; it is on ``reply.output``.
        confirm: is asked, with each call a model makes, whether to make it.
        eager: run each call as soon as its arguments are whole, while the rest of the reply is still written; so also
            those of a reply that is then cut off or refused.
    """

    max_iterations: int | None
    output: Any
    confirm: Callable[[ToolCall], Any] | None
    eager: bool | None


def merge(defaults: CallOptions, given: CallOptions) -> CallOptions:
    """The options of a call, checked.

    Raises:
        ConfigurationError: naming the option, the value and what would do.
    """
    said = {name: value for name, value in given.items() if value is not None}
    options = cast("CallOptions", {**defaults, **said})
    unknown = set(options) - CallOptions.__optional_keys__
    if unknown:
        raise _unknown(unknown)
    _of_their_kinds(options)
    if options.get("timeout") == 0:
        raise ConfigurationError("timeout is a number of seconds above 0, not 0.")
    _named(options.get("model"))
    if tools := options.get("tools"):
        options["tools"] = described(tools)
    compacting_of(options)
    _thinkable(options.get("reasoning"))
    _sendable(options)
    strategy = options.get("truncate") or DEFAULT_TRUNCATION
    ways = (*STRATEGIES, SPLIT, OFF)
    if strategy not in ways:
        raise ConfigurationError(f"Unknown truncation {strategy!r}: use one of {', '.join(ways)}.")
    return options


def _of_their_kinds(options: CallOptions) -> None:
    values = cast("dict[str, Any]", options)
    for name, (kind, wanted) in _KINDS.items():
        if name in values:
            require(kind, name, values[name], wanted)
    for name, least in _WHOLE.items():
        if name in values:
            values[name] = whole(name, values[name], least)
    for name in ("temperature", "timeout"):
        if name in values:
            require_finite(name, values[name])


def parted_options(options: ToolOptions) -> tuple[ToolOptions, CallOptions]:
    """What is said about a run itself, its tools among it, and what about each of its calls."""
    own = (ToolOptions.__optional_keys__ - CallOptions.__optional_keys__) | {"tools"}
    asked = {name: value for name, value in options.items() if name in own}
    call = {name: value for name, value in options.items() if name not in own}
    return cast("ToolOptions", asked), cast("CallOptions", call)


def chain_of(options: CallOptions) -> tuple[str | None, ...]:
    """The models to ask, one after the other; None stands for the default."""
    model = options.get("model")
    if isinstance(model, str):
        return tuple(name.strip() for name in model.split(","))
    return tuple(model) if model is not None else (None,)


def compacting_of(options: CallOptions) -> Compacting:
    """How the call's thread is compacted.

    Raises:
        ConfigurationError: no such mode.
    """
    said, keep = options.get("compact") or "auto", options.get("keep_recent")
    if isinstance(said, Compacting):
        return said
    return _compacting(said, keep)


@lru_cache(64)
def _compacting(said: str, keep: int | None) -> Compacting:
    found = Compacting(mode=mode_named(said))
    return found if keep is None else replace(found, keep_recent=keep)


def wishes_of(options: CallOptions, default_max_tokens: int | None) -> Wishes:
    """The part of the options that planning reads."""
    keep, stop, cache = options.get("keep_recent"), options.get("stop") or (), options.get("cache")
    thread, compacting = options.get("thread"), compacting_of(options)
    return Wishes(
        max_tokens=options.get("max_tokens"),
        default_max_tokens=default_max_tokens,
        max_input_tokens=options.get("max_input_tokens"),
        keep_recent=10 if keep is None else keep,
        truncate=options.get("truncate") or DEFAULT_TRUNCATION,
        extended_output=options.get("extended_output") is True,
        temperature=options.get("temperature"),
        reasoning=options.get("reasoning"),
        cache=thread is not None if cache is None else cache,
        server_tools=tuple(options.get("server_tools") or ()),
        tools=tuple(described(options.get("tools") or ())),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        stream=options.get("stream") is not False,
        extras=Extras(
            headers=options.get("extra_headers") or {},
            query=options.get("extra_query") or {},
            body=options.get("extra_body") or {},
        ),
        compacting=compacting if thread is not None and compacting.mode == "server" else None,
    )


def _named(model: object) -> None:
    names = model if isinstance(model, list | tuple) else [model]
    if model is not None and (not names or any(not isinstance(name, str) for name in names)):
        raise ConfigurationError(f"model is a name or a list of names, not {model!r}.")


def _sendable(options: CallOptions) -> None:
    stop = options.get("stop") or ()
    if not isinstance(stop, Collection) or any(not isinstance(text, str) for text in stop):
        raise ConfigurationError("stop is a text or a list of texts.")
    extras = (options.get("extra_headers"), options.get("extra_query"), options.get("extra_body"))
    if any(extras):
        check_extras(*(fields or {} for fields in extras))
    if tools := options.get("server_tools"):
        check_server_tools(tools)


def _thinkable(asked: object) -> None:
    effort = asked in EFFORTS
    budget = isinstance(asked, int) and not isinstance(asked, bool) and asked >= LEAST_BUDGET
    if asked is not None and not effort and not budget:
        raise ConfigurationError(
            f"reasoning is one of {', '.join(EFFORTS)}, or a budget of {LEAST_BUDGET:,} tokens or more, not {asked!r}."
        )


def _unknown(names: set[str]) -> ConfigurationError:
    said = ", ".join(sorted(names))
    if KEY_NAMES.intersection(names):
        return ConfigurationError(f"{said} is no option: {NO_KEYS}.")
    known = sorted(CallOptions.__optional_keys__)
    near = get_close_matches(min(names), known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(known)}."
    return ConfigurationError(f"Unknown option {said}. {hint}")
