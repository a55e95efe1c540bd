"""The garbage collector of a process that has started."""

from __future__ import annotations

import gc

#: After this many new objects the garbage collector looks at the young ones; each time it has done so this often, it
#: looks at older ones too.
COLLECT_AT = 100_000
OLDER_AT = 5


def keep_what_is_loaded() -> None:
    """Make the garbage collector run more rarely, and leave out what is loaded by now.

    Looking through what is loaded took a sixth of the CPU while the clock expired rows. The default, a look at every
    700 new objects, took a tenth of a busy worker's CPU: hundreds of calls are under way, so most objects are alive.
    The price: some megabytes of garbage may wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AT, OLDER_AT, OLDER_AT)
