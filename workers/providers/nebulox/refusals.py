"""How Nebulox says no."""

from __future__ import annotations

from workers.providers.refusal import Refusals

#: For an inactive gateway or a wrong key 406 is documented, 401 and 403 are HTTP's own. A refusal looks like a success,
#: but its ``result`` is an empty list.
REFUSALS = Refusals(key_statuses=frozenset({401, 403, 406}), is_own=lambda payload: "result" in payload)
