"""The pump's event loop: uvloop's where there is a wheel, asyncio's own elsewhere.

Measured (``tests.bench deliver``): a webhook takes a fifth less CPU on uvloop's.
"""

from __future__ import annotations

import os

try:
    from uvloop import new_event_loop as new_loop

    # Redis' host names are looked up in half of uvloop's threads. With the default of four, two look-ups that hang
    # would hold up all others. Receivers' and providers' names have threads of their own (``SystemLookup``).
    os.environ.setdefault("UV_THREADPOOL_SIZE", "32")
except ImportError:  # no wheel for this platform
    from asyncio import new_event_loop as new_loop  # type: ignore[assignment]  # any loop

__all__ = ["new_loop"]
