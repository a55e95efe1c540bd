"""How long what names an order may be. Apart from the order's model: commands that only list need not import that."""

from __future__ import annotations

#: Characters of an account's name, an order id and an idempotency key.
MAX_ACCOUNT, MAX_ORDER_ID, MAX_KEY = 64, 128, 255
