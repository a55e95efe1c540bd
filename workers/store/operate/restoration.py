"""What is done once, after the database was restored from a backup."""

from __future__ import annotations

from collections.abc import Callable

from domain.decision import Stage
from workers.store import restoration
from workers.store.acts import Act, Actor, Deed, record
from workers.store.agenda import PUBLISH_LANE
from workers.store.operate.sessions import end_everybody
from workers.store.restoration import Survey
from workers.store.store import Store


def survey(store: Store, at_least: int = 1) -> Survey:
    """What ``restore`` would do; changes nothing. ``at_least``: the lowest epoch to take. Raises EpochsUsedUp."""
    return store.database.read(restoration.survey, store.database, store.policy_of, at_least)


def restore(store: Store, actor: Actor, pace_of: Callable[[str], float], at_least: int = 1) -> tuple[Survey, str]:
    """Raise the epoch, doubt what is queued, look up what is open, tell everybody, and sign everybody out of the
    console. Returns what was found, and the event's id.

    Raises EpochsUsedUp. Harmless if repeated, and while workers run.
    """
    database = store.database
    with database.transaction() as connection:
        found, event_id = restoration.restore(connection, database, store.policy_of, pace_of, at_least)
        end_everybody(connection)
        deed = Deed(
            act=Act.RESTORED,
            before={"known_until": found.known_until},
            after={"epoch": found.epoch, "in_doubt": len(found.uncertain), "event": event_id},
        )
        record(connection, database, actor, [deed])
    store.ring({(Stage.PUBLISH, PUBLISH_LANE)})
    return found, event_id
