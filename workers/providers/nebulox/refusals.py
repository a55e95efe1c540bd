"""How Nebulox says no."""

from __future__ import annotations

from workers.providers.refusal import Refusals

#: An inactive gateway or a wrong key: 406 is documented, 401 and 403 are HTTP's own words. A refusal looks like a
#: success, with a ``result`` that is an empty list.
REFUSALS = Refusals(key_statuses=frozenset({401, 403, 406}), is_own=lambda payload: "result" in payload)
