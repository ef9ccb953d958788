"""The command line of ``skyproxy bench``."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from skyproxy.command.bench.figures import Figures
from skyproxy.command.output import WRONG, fail, show_json
from skyproxy.command.place import checked_url

if TYPE_CHECKING:
    from skyproxy.command.bench.load import Load


@click.command(short_help="Measure a server under load.")
@click.argument("url")
@click.option(
    "-c", "--connections", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Connections at once."
)
@click.option(
    "-d", "--duration", type=click.FloatRange(0.1), default=30.0, show_default=True, help="For how many seconds."
)
@click.option("--stream", is_flag=True, help="Ask for streams.")
@click.option(
    "--rate", type=click.FloatRange(0.001), help="Requests a second, answered or not; else as many as possible."
)
@click.option("--slot", default="default", show_default=True, help="The slot to ask.")
@click.option("--text", default="Who goes there?", show_default=True, help="What to ask it.")
@click.option(
    "--key", envvar="SKYPROXY_KEY", show_envvar=True, default="bench", help="The key to send in Authorization."
)
@click.option("--get", is_flag=True, help="Send GET without a body to the URL as it is.")
@click.option("--compare", metavar="URL2", help="Measure this one, too, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(
    url: str,
    connections: int,
    duration: float,
    stream: bool,
    rate: float | None,
    slot: str,
    text: str,
    key: str,
    get: bool,
    compare: str | None,
    as_json: bool,
) -> None:
    """Ask URL again and again, and show what it took.

    URL is that of an API, such as http://127.0.0.1:35791/v1, or a whole one. What it measures is the server and this
    program together: the server is the bound where this program's processor is not busy.
    """
    targets = {each: _target(each, get) for each in (url, compare) if each is not None}
    results: dict[str, Figures] = {}

    async def measure(reactor: Any) -> None:
        for each, target in targets.items():
            request = _request(target, slot, text, key, stream=stream, get=get)
            if not as_json:
                click.echo(f"{target}: {connections} connections, {duration:g} s", err=True)
            load = _load(reactor, target, request, connections, duration, rate)
            # Known before it is over, so that Ctrl-C shows what there is by then.
            results[each] = load.figures
            await _run(reactor, load, shown=not as_json)

    _react(measure)
    if as_json:
        show_json({name: figures.as_json() for name, figures in results.items()})
    else:
        for name, figures in results.items():
            click.echo(f"{name}\n{figures.as_text()}")
    bad = any(figures.good < figures.answers or figures.broken or not figures.answers for figures in results.values())
    raise SystemExit(WRONG if bad else 0)


def _target(url: str, get: bool) -> str:
    url = checked_url(url)
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if get or (path and path != "/v1"):
        return url
    return f"{parts.scheme}://{parts.netloc}/v1/chat/completions"


def _request(target: str, slot: str, text: str, key: str, *, stream: bool, get: bool) -> bytes:
    parts = urlsplit(target)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = f"{'GET' if get else 'POST'} {path} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
    if get:
        return f"{head}Authorization: Bearer {key}\r\n\r\n".encode()
    body = json.dumps({"model": slot, "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
    head += f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _load(reactor: Any, target: str, request: bytes, connections: int, duration: float, rate: float | None) -> Load:
    from skyproxy.command.bench.load import Load, Test
    from skyproxy.http.client.agent import Origin, endpoint_of
    from skyproxy.http.client.alpn import offers
    from skyproxy.http.client.tls import TlsClient
    from skyproxy.http.client.trust import Roots

    origin = Origin(target)
    tls = TlsClient(origin.host, offers("off"), 0, Roots()) if origin.secure else None
    endpoint = endpoint_of(origin, reactor, 10.0, tls)
    return Load(reactor, endpoint, Test(request, connections, duration, rate))


async def _run(reactor: Any, load: Load, *, shown: bool) -> None:
    from twisted.internet.task import LoopingCall

    last = 0

    def progress() -> None:
        nonlocal last
        answers, broken = load.figures.answers, sum(load.figures.broken.values())
        click.echo(
            f"  {answers - last:,}/s  {answers:,} answers" + (f", {broken:,} broken" if broken else ""), err=True
        )
        last = answers

    showing = LoopingCall(progress)
    showing.clock = reactor
    if shown:
        showing.start(1.0, now=False)
    interrupting = reactor.addSystemEventTrigger("before", "shutdown", load.stop)
    try:
        await load.run()
    finally:
        if showing.running:
            showing.stop()
    # It is gone where it was what ended the run.
    with suppress(ValueError):
        reactor.removeSystemEventTrigger(interrupting)


def _react(main: Any) -> None:
    """Run *main* on the reactor; Ctrl-C ends what is measured, and what there is by then is shown."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.internet.error import ReactorNotRunning
    from twisted.python.failure import Failure

    running: Any = reactor
    failures: list[Failure] = []

    def stop() -> None:
        # Where Ctrl-C has begun to stop it, it is being stopped.
        with suppress(ReactorNotRunning):
            running.stop()

    def begin() -> None:
        done = Deferred.fromCoroutine(main(running))
        done.addErrback(failures.append)
        done.addBoth(lambda _: stop())

    running.callWhenRunning(begin)
    running.run()
    for failure in failures:
        fail(failure.getErrorMessage())
