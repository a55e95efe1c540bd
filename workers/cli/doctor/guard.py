"""Keeps the checks apart: whatever is wrong with one part, the others are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from workers.cli.doctor.finding import Finding, told
from workers.cli.errors import CommandFailed, explain

#: Looks at one part of the system.
Check = Callable[[], Iterator[Finding]]


def guarded(check: str, run: Check) -> Iterator[Finding]:
    """What the check finds; an error is a finding too."""
    try:
        yield from run()
    except CommandFailed as error:
        yield Finding(check, "wrong", str(error), "failed")
    except Exception as error:  # noqa: BLE001 - whatever it is, a person has to know
        yield Finding(check, "wrong", _explained(error), "failed")


def _explained(error: BaseException) -> str:
    """As the commands explain it, without their advice to ask the doctor."""
    if type(error).__module__.partition(".")[0] in {"kombu", "redis", "amqp"}:
        return f"can't be reached: {told(error)}"
    return explain(error).replace(" (see: invoices doctor)", "")
