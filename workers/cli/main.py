"""The entry point: which sub-commands there are, and what a failure looks like."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from workers.cli.errors import CommandFailed, explain
from workers.cli.streams import safe_streams
from workers.shipped import VERSION

#: Name: (module, help). The help is here so that `invoices --help` imports none of the modules.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("workers.cli.demo.command", "Run orders at the sandbox providers, shown live, with a summary."),
    "up": ("workers.cli.up", "Start and supervise all processes on this machine; Ctrl-C stops."),
    "web": ("workers.cli.web", "Serve callbacks, the HTTP interface, the console, health and metrics."),
    "intake": ("workers.cli.roles", "Take orders from the queue: the Procfile's process, alone."),
    "worker": ("workers.cli.roles", "Call providers, watch invoices, deliver webhooks: the Procfile's process, alone."),
    "beat": ("workers.cli.roles", "Wake the workers every 5 s: the Procfile's process, alone."),
    "alive": ("workers.cli.alive", "Say whether the process here is alive: for a container's health check."),
    "enqueue": ("workers.cli.enqueue", "Queue one order by flags, or many from a file or standard input."),
    "list": ("workers.cli.invoices", "List invoices, newest first."),
    "show": ("workers.cli.show", "Show one invoice and all that happened to it, by its id, order, transaction, …"),
    "why": ("workers.cli.why", "Say why nothing happens to an order, or what is late and why."),
    "health": ("workers.cli.health", "Say in one word how the system is, and what is late."),
    "prove": ("workers.cli.prove", "Write the proof of one order: a file that anybody can check."),
    "events": ("workers.cli.events", "Show the events of an invoice, or the newest of all."),
    "watch": ("workers.cli.watch", "Watch invoices change, live."),
    "cancel": ("workers.cli.operators", "Give an order up."),
    "mark": ("workers.cli.operators", "Say by hand what became of an invoice, with the reason."),
    "recheck": ("workers.cli.operators", "Have the provider asked about an invoice now."),
    "audit": ("workers.cli.audit", "List what operators did by hand: who, when, on what and why."),
    "report": ("workers.cli.report.command", "Lines for the books: payments of a period, or what is open."),
    "rejected": ("workers.cli.rejected", "List the messages that were rejected, and why."),
    "contradictions": ("workers.cli.contradictions", "List what contradicts what is known of an invoice."),
    "callbacks": ("workers.cli.callbacks", "Test whether a provider's callbacks would arrive."),
    "unmatched": ("workers.cli.unmatched", "Callbacks that no invoice is known for: list, link, dismiss."),
    "drift": ("workers.cli.drift", "What is new in providers' answers: list, accept."),
    "redrive": ("workers.cli.redrive", "Try again: rejected messages, invoices in doubt, parked rows."),
    "restored": ("workers.cli.restored", "Run once after the database was restored from a backup."),
    "archive": ("workers.cli.archive", "Ended invoices into files, and out of the database; find one there."),
    "move": ("workers.cli.move", "Move everything into another, empty database: from SQLite to PostgreSQL."),
    "endpoints": ("workers.cli.endpoints", "Add, list, change, test and remove endpoints: where webhooks are sent."),
    "tokens": ("workers.cli.tokens", "Add, list and revoke tokens of the HTTP interface."),
    "users": ("workers.cli.users", "Add, list and change people who sign in to the console."),
    "console-link": ("workers.cli.console_link", "Print a link that signs you in to this machine's console, once."),
    "receiver-check": ("workers.cli.receiver_check", "Play good and forged webhooks to your own endpoint."),
    "deliveries": ("workers.cli.deliveries", "List webhooks with every attempt to deliver them."),
    "migrate": ("workers.cli.database", "Bring the database to the newest revision."),
    "doctor": ("workers.cli.doctor.command", "Find what keeps orders, payments or webhooks waiting."),
    "files": ("workers.cli.files", "List the documents and examples of this release, or print one."),
    "schema": ("workers.cli.schema", "Print the JSON Schema of what the queue takes."),
}

MAX_LINE = 600  #: characters of an error
INTERRUPTED = 130  # the exit code that shells give a command ended by Ctrl-C


class LazyGroup(click.Group):
    """A group whose sub-commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        attribute = f"{cmd_name.replace('-', '_')}_command"
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="invoices")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Crypto invoices: makes them at payment providers, watches each to its end, tells the shop.

    Settings are INVOICES_* variables, or the TOML file that INVOICES_CONFIG names. What reads takes --json and then
    prints JSON Lines and nothing else.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and leave with its exit code: 2 for usage, 1 for any other failure."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command; the exit code. A failure is one line on standard error, a traceback only with ``--debug``."""
    with safe_streams():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        # Without standalone mode click returns what the command returns, or the code of an early exit (--help).
        code = cli.main(arguments, prog_name="invoices", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output is gone. Without this Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        _tell(_usage_line(error))
        return error.exit_code
    except CommandFailed as error:
        if debug and error.__cause__ is not None:
            raise
        _tell(str(error))
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        _tell(explain(error))
        return 1
    return code if isinstance(code, int) else 0


def _usage_line(error: click.ClickException) -> str:
    """What is wrong, on one line. A group without a command prints its help first: that was most likely wanted."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return f"{error.ctx.command_path} needs a command"
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "invoices"
    return f"{' '.join(error.format_message().split())} (see: {path} --help)"


def _tell(line: str) -> None:
    """One line. It may quote an argument, which may be an address with a password."""
    from config.urls import redact_url

    shown = redact_url(line if len(line) <= MAX_LINE else f"{line[: MAX_LINE // 2]}…{line[-MAX_LINE // 2 :]}")
    click.echo(f"invoices: {''.join(c if c.isprintable() else '?' for c in shown)}", err=True)
