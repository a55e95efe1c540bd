"""`invoices demo`."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from workers.cli.errors import CommandFailed
from workers.cli.output import console, json_option, print_json
from workers.cli.text import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from workers.cli.demo.orders import DemoOrder
    from workers.cli.demo.report import Progress, Report
    from workers.cli.demo.stand import Stand

TICK_SECONDS = 0.5
#: Orders queued each tick: few enough to watch them come in.
ORDERS_A_TICK = 25
PLAIN_LINE_SECONDS = 2.0


@click.command("demo")
@click.option("--orders", "count", type=click.IntRange(1, 20_000), default=200, show_default=True)
@click.option("--timeout", type=click.FloatRange(min=5), default=120, show_default=True, metavar="SECONDS",
              help="When to give up.")  # fmt: skip
@click.option("--svg", type=click.Path(dir_okay=False, path_type=Path), help="Write the final picture there.")
@click.option("--keep", is_flag=True, help="Keep the demo's files (they are kept where something does not hold).")
@click.option("--stay", is_flag=True, help="Go on when it is over, with the console open, until Ctrl-C.")
@json_option
def demo_command(count: int, timeout: float, svg: Path | None, keep: bool, stay: bool, as_json: bool) -> int:
    """Run orders at the sandbox providers: paid, expired, refused and faulty ones, shown live until each has ended.

    Some payments are told by callbacks: right, late, forged and lost ones.

    Starts everything it needs in a folder of its own and stops it again. The exit code is 0 when everything that the
    summary claims holds.
    """
    from workers.cli.demo.home import fresh_home
    from workers.cli.demo.orders import make_orders
    from workers.cli.demo.report import reckon
    from workers.cli.demo.stand import raise_stand

    orders = list(make_orders(count))
    with _terminable() as interrupted, fresh_home() as home:
        log_path = home / "demo.log"
        with log_path.open("w", encoding="utf-8") as log, raise_stand(home, log) as stand:
            began = time.monotonic()
            _tell_way_in(stand, quiet=as_json)
            last_picture = _run(stand, orders, timeout, interrupted, quiet=as_json)
            report = reckon(stand, orders, time.monotonic() - began)
            _show(report, last_picture, svg, as_json)
            if stay:
                _stay(stand)
        if report.holds and not keep:
            shutil.rmtree(home, ignore_errors=True)
        elif not as_json:
            click.echo(f"its files: {home} (log: {log_path.name})", err=True)
    return 0 if report.holds else 1


def _tell_way_in(stand: Stand, *, quiet: bool = False) -> None:
    from workers.cli.console_link import say_way_in

    if not quiet:
        click.echo(say_way_in(stand.config, stand.web[-1]), err=True)


def _stay(stand: Stand) -> None:
    """Until Ctrl-C, or a TERM."""
    from workers.cli.demo.stand import raise_failure

    click.echo("Everything goes on; Ctrl-C ends it.", err=True)
    try:
        _tell_way_in(stand)
        while True:
            raise_failure(stand)
            time.sleep(TICK_SECONDS)
    except KeyboardInterrupt:
        click.echo("", err=True)


@contextlib.contextmanager
def _terminable() -> Iterator[threading.Event]:
    """SIGTERM cleans up as Ctrl-C does. The event is set too: an exception may be raised where Python drops it."""
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(
    stand: Stand, orders: list[DemoOrder], timeout: float, interrupted: threading.Event, *, quiet: bool
) -> RenderableType:
    """Queue the orders and watch until all have ended or the time is up; the last picture.

    The first goes alone and the others once it is made: the fault ``duplicate`` answers with an earlier order.
    """
    from workers.cli.demo.report import look
    from workers.cli.demo.view import draw
    from workers.cli.publisher import Publisher
    from workers.cli.watch import Lookout

    began, paid = time.monotonic(), sum(order.kind.ends == "paid" for order in orders)
    lookout, batch, waiting = Lookout(), orders[:1], orders[1:]
    notice = lambda line: click.echo(line, err=True)  # noqa: E731
    with Publisher(stand.config, patience_seconds=10, notice=notice) as publisher, _screen(quiet) as show:
        while True:
            _raise_end(stand, interrupted)
            if batch:
                publisher.send("invoices.create_many", {"orders": [order.fields for order in batch]})
            progress, seconds = look(stand.database), time.monotonic() - began
            picture = draw(lookout.look(stand.database), progress, len(orders), seconds)
            show(picture, progress, seconds)
            if (not waiting and progress.is_over(len(orders), paid)) or seconds > timeout:
                return picture
            size = ORDERS_A_TICK if progress.has_begun() else 0
            batch, waiting = waiting[:size], waiting[size:]
            time.sleep(TICK_SECONDS)


def _raise_end(stand: Stand, interrupted: threading.Event) -> None:
    """Raises CommandFailed when the processes could not be started, KeyboardInterrupt after a signal."""
    from workers.cli.demo.stand import raise_failure

    raise_failure(stand)
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _screen(quiet: bool) -> Iterator[Callable[[RenderableType, Progress, float], None]]:
    """Shows pictures: live on a terminal, otherwise a line now and then; nothing when ``quiet``."""
    screen = console()
    if quiet or not screen.is_terminal:
        last = [-PLAIN_LINE_SECONDS]

        def tell(picture: RenderableType, progress: Progress, seconds: float) -> None:
            if not quiet and seconds - last[0] >= PLAIN_LINE_SECONDS:
                last[0] = seconds
                counts = ", ".join(f"{count} {status}" for status, count in sorted(progress.counts.items()))
                click.echo(f"{seconds:5.1f} s  {counts or 'starting'}; {counted(progress.events, 'event', 'events')}")

        yield tell
        return
    from rich.live import Live

    with Live(console=screen, auto_refresh=False) as live:
        yield lambda picture, *_: live.update(picture, refresh=True)


def _show(report: Report, last_picture: RenderableType, svg: Path | None, as_json: bool) -> None:
    from workers.cli.demo.view import PICTURE_WIDTH, draw_report, write_svg

    if as_json:
        checks = [{"what": check.what, "holds": check.holds, "detail": check.detail} for check in report.checks]
        print_json(
            {"holds": report.holds, "counts": report.counts, "seconds": round(report.seconds, 1), "checks": checks}
        )
    else:
        screen = console()
        screen.width = min(screen.width, PICTURE_WIDTH)
        screen.print(draw_report(report))
    if svg is not None:
        try:
            write_svg(svg, last_picture, draw_report(report))
        except OSError as error:
            raise CommandFailed(f"--svg {svg}: {error.strerror}") from error
