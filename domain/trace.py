"""The trace that an order belongs to (W3C Trace Context). It is passed on whether or not anybody records spans.

It is one text: a ``traceparent``, followed by a space and its ``tracestate``, if there is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

#: Version, trace id, parent id, flags. A newer version may have more after them.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(rf"{_KEY}=[!-+\--<>-~ ]{{0,255}}[!-+\--<>-~]", re.ASCII)
MAX_MEMBERS = 32
MAX_STATE = 512  #: characters: what W3C asks everybody to pass on
MAX_TRACE = 55 + 1 + MAX_STATE

_DATA, _NAME = b',"data":{', b',"traceparent":'
_IN_EVENT = re.compile(rb',"traceparent":("[^"]*")(?:,"tracestate":("(?:[^"\\]|\\.)*"))?,"data":\{')


def read_trace(parent: object, state: object = None) -> str | None:
    """The trace that these two headers name; None without a usable ``traceparent``. A bad one is never an error: the
    order is like any other. A ``tracestate`` that is bad or too long is left out."""
    if not isinstance(parent, str):
        return None
    found = _PARENT.fullmatch(parent.strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    if version != "00":  # of a later version only the flag that this one knows is passed on
        flags = f"{int(flags, 16) & 1:02x}"
    kept = _read_state(state)
    return f"00-{trace_id}-{span_id}-{flags}" + (f" {kept}" if kept else "")


def _read_state(state: object) -> str | None:
    if not isinstance(state, str) or len(state) > MAX_STATE:
        return None
    members = [member.strip(" \t") for member in state.split(",")]
    members = [member for member in members if member]
    keys = {member.partition("=")[0] for member in members}
    usable = len(members) <= MAX_MEMBERS and len(keys) == len(members)
    return ",".join(members) if usable and all(map(_MEMBER.fullmatch, members)) else None


def trace_headers(trace: str) -> Mapping[str, str]:
    """As HTTP headers. Attributes of a CloudEvent have the same names (extension "distributed tracing")."""
    parent, _, state = trace.partition(" ")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def trace_of_event(body: bytes) -> str | None:
    """The trace that an event names. ``body``: its bytes, as ``domain.event.envelope`` writes them."""
    end = body.find(_DATA)  # the first one is the real one: before it every quote inside a text is escaped
    start = body.find(_NAME, 0, max(end, 0))
    found = _IN_EVENT.match(body, start, end + len(_DATA)) if start >= 0 else None
    if found is None:
        return None
    parent, state = found.groups()
    return read_trace(json.loads(parent), None if state is None else json.loads(state))
