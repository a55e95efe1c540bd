"""The engine's log: starts, ends and troubles always, every other step at level debug under the observer's own name."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from domain.decision import Stage
from workers.engine import Attempted, EngineLog, ProviderCall, StepLog

STEPS = {
    "pump.claimed": lambda told: told.claimed(Stage.CREATE, "shop", 5, 2),
    "pump.throttled": lambda told: told.throttled(Stage.CREATE, "shop", 0.5),
    "pump.performed": lambda told: told.performed(Stage.CREATE, "shop", 1, 0.25),
    "pump.committed": lambda told: told.committed(Stage.CREATE, 2, 1, 0.125),
    "provider.called": lambda told: told.called(ProviderCall("shop", "create", "answered", 0.2)),
    "webhook.attempted": lambda told: told.attempted(Attempted("ep_1", "delivered")),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_a_line_at_level_debug_and_none_otherwise(name):
    for engine_log, written in ((EngineLog(), []), (StepLog(), [(name, "debug")])):
        with capture_logs() as lines:
            STEPS[name](engine_log)
        assert [(line["event"], line["log_level"]) for line in lines] == written


def test_the_start_and_the_end_are_always_told():
    with capture_logs() as lines:
        EngineLog().started([Stage.CREATE])
        EngineLog().stopped()
    assert [line["event"] for line in lines] == ["pump.started", "pump.stopped"]
