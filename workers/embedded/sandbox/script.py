"""Which fault a call gets: by markers in the order's ids, then by the rules of the control address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from workers.embedded.sandbox.faults import Fault, find_fault
from workers.embedded.sandbox.markers import MarkedFault, read_markers

#: For how many subjects marked faults are counted; with more, the oldest is forgotten (and fires again).
MAX_COUNTED = 100_000


@dataclass(slots=True)
class Rule:
    """A fault that was asked for at the control address. `times` None: no limit; `match`: part of the order's ids."""

    id: int
    provider: str
    operation: str
    name: str
    argument: float
    times: int | None
    probability: float
    match: str | None
    fired: int = 0

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "provider": self.provider,
            "operation": self.operation,
            "fault": self.name,
            "argument": self.argument,
            "times": self.times,
            "probability": self.probability,
            "match": self.match,
            "fired": self.fired,
        }


@dataclass(frozen=True, slots=True)
class Due:
    """The fault to play now."""

    name: str
    fault: Fault
    argument: float


class RuleKeeper(Protocol):
    """Keeps over restarts what has fired: see ``state.py``."""

    def keep_marked(self, key: tuple[str, str, str], calls: int) -> None: ...
    def keep_rule(self, rule: Rule) -> None: ...
    def forget_rules(self) -> None: ...


class Script:
    """All faults to come."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.rules: list[Rule] = []
        self._calls_of_marked: dict[tuple[str, str, str], int] = {}
        self._last_id = 0
        self.keeper: RuleKeeper | None = None

    def restore(self, rules: Sequence[Rule], calls_of_marked: Mapping[tuple[str, str, str], int]) -> None:
        """Go on where the last process ended."""
        self.rules[:] = rules
        self._last_id = max((rule.id for rule in rules), default=0)
        self._calls_of_marked.update(calls_of_marked)

    def clear(self) -> None:
        """Forget every rule."""
        self.rules.clear()
        if self.keeper is not None:
            self.keeper.forget_rules()

    def add(
        self,
        *,
        provider: str,
        operation: str,
        name: str,
        argument: float,
        times: int | None,
        probability: float,
        match: str | None,
    ) -> Rule:
        """A new rule behind the others."""
        self._last_id += 1
        rule = Rule(self._last_id, provider, operation, name, argument, times, probability, match)
        self.rules.append(rule)
        self._keep(rule)
        return rule

    def _keep(self, rule: Rule) -> None:
        if self.keeper is not None:
            self.keeper.keep_rule(rule)

    def take(self, provider: str, operation: str, subject: str, marked_as: str) -> Due | None:
        """The fault for this call, counted as fired. Raises InputError for a marker that can't be read.

        ``marked_as``: the operation's name in markers.
        """
        marked = self._take_marked(provider, marked_as, subject)
        if marked is not None:
            return marked
        rule = self.take_rule(provider, operation, subject)
        return None if rule is None else Due(rule.name, find_fault(rule.name), rule.argument)

    def _take_marked(self, provider: str, operation: str, subject: str) -> Due | None:
        faults = read_markers(subject).faults.get(operation)
        if not faults:
            return None
        key = (provider, operation, subject)
        call = self._calls_of_marked.pop(key, 0)
        self._calls_of_marked[key] = call + 1
        if self.keeper is not None:
            self.keeper.keep_marked(key, call + 1)
        if len(self._calls_of_marked) > MAX_COUNTED:
            del self._calls_of_marked[next(iter(self._calls_of_marked))]
        return _pick(faults, call)

    def take_rule(self, provider: str, operation: str, subject: str) -> Rule | None:
        """The first rule that fits, counted as fired."""
        for rule in self.rules:
            if (rule.provider, rule.operation) != (provider, operation):
                continue
            if rule.times is not None and rule.fired >= rule.times:
                continue
            if rule.match is not None and rule.match not in subject:
                continue
            if rule.probability >= 1 or self._random.random() < rule.probability:
                rule.fired += 1
                self._keep(rule)
                return rule
        return None


def _pick(faults: list[MarkedFault], call: int) -> Due | None:
    """The fault for the call with this index: one fault after the other, each as often as it says, then none."""
    for marked in faults:
        if call < marked.times:
            fault = find_fault(marked.name)
            return Due(marked.name, fault, fault.read_argument(marked.argument))
        call -= marked.times
    return None
