"""The command line: ``report`` says what was used, ``count`` what files would take, ``serve`` serves a model.

``serve`` prints its address alone on the first line, once it answers, so that a script can read it.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tokmagic import __version__, catalog, tokenizers
from tokmagic.api import count, price, usage
from tokmagic.core.errors import ConfigurationError, TokmagicError
from tokmagic.core.money import Cost, worst
from tokmagic.core.tables import text_table
from tokmagic.core.tokens import TokenCount
from tokmagic.core.usage import Usage
from tokmagic.export import receipts_in, table
from tokmagic.parts import shared_parts
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.door import LOOPBACK, Door
from tokmagic.server.engine import Terms
from tokmagic.server.faults import NO_FAULTS, FaultPlan, parse_plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it should, 2 if it was refused."""
    parser = argparse.ArgumentParser(prog="tokmagic", description="LLM cells for Jupyter with a fuel gauge.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="what was used, by model and by day, or by the cells of a notebook")
    report.add_argument("notebook", type=Path, nargs="?", help="an executed notebook; without it the book is read")
    report.add_argument("--since", help="of the book only since then: today, yesterday, 90m, 24h, 7d")
    report.set_defaults(run=_report)
    counting = commands.add_parser("count", help="tokens and price of texts as input for a model")
    counting.add_argument("files", nargs="+", metavar="FILE", help="a text in UTF-8, or - for standard input")
    counting.add_argument("--model", help="provider/model; without it the default model")
    counting.set_defaults(run=_count)
    _add_serve(commands.add_parser("serve", help="the embedded server, for any client of either SDK"))
    chosen = parser.parse_args(arguments)
    try:
        if said := chosen.run(chosen):
            print(said)
    except TokmagicError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _add_serve(serving: argparse.ArgumentParser) -> None:
    serving.add_argument("--host", default=LOOPBACK, help="where to listen; beyond this machine only with a token")
    serving.add_argument("--port", type=int, default=0, help="a free one if 0, which is the default")
    serving.add_argument("--token", default="", help="the key that clients send; made anew if none is named")
    serving.add_argument("--engine", choices=("demo", "transformers"), default="demo", help="what answers")
    serving.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]FOLDER", help="of transformers; may be said again"
    )
    serving.add_argument("--batching", action="store_true", help="of transformers: write several answers together")
    serving.add_argument("--pace", type=float, help="tokens a second of the demo; as fast as they are read if none")
    serving.add_argument("--faults", metavar="FILE", help="a plan in TOML of what goes wrong")
    serving.set_defaults(run=_serve)


def _serve(chosen: argparse.Namespace) -> str:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _started(chosen) as server:
        print(server.url, flush=True)
        print("token", "as you chose it" if chosen.token else server.token)
        print("Ctrl-C ends it.", flush=True)
        server.wait()
    return ""


def _started(chosen: argparse.Namespace) -> EmbeddedServer:
    plan = parse_plan(_text(chosen.faults), chosen.faults) if chosen.faults else NO_FAULTS
    door = Door(chosen.host, chosen.port, chosen.token)
    if chosen.engine == "transformers":
        return _started_local(chosen, door, plan)
    if chosen.model or chosen.batching:
        said = "--model" if chosen.model else "--batching"
        raise ConfigurationError(f"{said} is for --engine transformers; the demo has models of its own.")
    if chosen.pace is not None and not 0 < chosen.pace < float("inf"):
        raise ConfigurationError(f"--pace {chosen.pace:g}: a pace is a number of tokens a second, above 0.")
    models = catalog.demo_models().values()
    return start_server(models, tokenizers.counter, pace=chosen.pace, door=door, faults=plan)


def _started_local(chosen: argparse.Namespace, door: Door, plan: FaultPlan) -> EmbeddedServer:
    from tokmagic.server.local import FIELDS, LocalEngine, load, served

    if not chosen.model:
        raise ConfigurationError("--engine transformers needs --model FOLDER: where a model and its tokenizer are.")
    if chosen.pace is not None:
        raise ConfigurationError("--pace is for the demo; a model writes as fast as it can.")
    loaded = [load(said) for said in chosen.model]
    engine = LocalEngine(loaded, batching=chosen.batching)
    terms = Terms(FIELDS, engine.count, engine.close)
    return start_server(served(loaded), tokenizers.chosen_counter, engine=engine, terms=terms, door=door, faults=plan)


def _report(chosen: argparse.Namespace) -> str:
    if chosen.notebook is None:
        return _report_book(chosen.since)
    uses = receipts_in(chosen.notebook)
    return table(uses) if uses else f"{chosen.notebook} holds no receipts: run its %%llm cells and save it."


def _report_book(since: str | None) -> str:
    models, days = usage(since, by="model"), usage(since, by="day")
    return f"{models!r}\n\n{days!r}" if models else "The book holds no calls of that time: run a %%llm cell."


def _count(chosen: argparse.Namespace) -> str:
    model = chosen.model or shared_parts().default_model()[0]
    counted = [(name, count(_text(name), model)) for name in chosen.files]
    rows = [(name, tokens, _price(model, tokens)) for name, tokens in counted]
    if len(rows) > 1:
        margin = sum(tokens.margin for _, tokens, _ in rows)
        exact = all(tokens.exact for _, tokens, _ in rows)
        total = TokenCount(sum(tokens for _, tokens, _ in rows), exact=exact, margin=margin)
        rows.append(("total", total, sum((cost for _, _, cost in rows[1:]), rows[0][2])))
    lines = [
        (f"{tokens:,}", "exact" if tokens.exact else f"±{tokens.margin:,}", str(cost), name)
        for name, tokens, cost in rows
    ]
    head = ("tokens", counted[0][1].tokenizer, "price", f"input for {model}")
    return text_table(head, lines, numbers=(0, 1, 2))


def _price(model: str, tokens: TokenCount) -> Cost:
    cost = price(model, Usage(input_tokens=tokens))
    return cost if tokens.exact else replace(cost, quality=worst(cost.quality, "estimated"))


def _text(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read ({error.strerror}): name a text file.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{name} is no text in UTF-8 (byte {error.start:,} is {content[error.start]:#04x}): convert it first."
        ) from None
    if "\0" in text:
        raise ConfigurationError(f"{name} holds bytes of zero, so it is no text: name a text file.")
    return text


if __name__ == "__main__":
    sys.exit(main())
