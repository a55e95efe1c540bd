"""What a message may cost: every bound on what a sender can make a worker read, hold or compute, in one place."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

#: A body of ``invoices.create_many``: 500 orders, each with 4 KiB of metadata, which escapes may make three times as
#: long.
MAX_MANY_BODY_BYTES = 8 * MIB
#: Every other body.
MAX_BODY_BYTES = 64 * KIB
#: A message in a Redis list: base64 makes its body longer by a third, escaping by less than twice. A longer one never
#: leaves the server.
MAX_ITEM_BYTES = 2 * MAX_MANY_BODY_BYTES
#: A list item without its body. On RabbitMQ the headers of a message fit into one frame (128 KiB).
MAX_ENVELOPE_BYTES = 256 * KIB
#: Values in a list item besides its body, which is one text.
MAX_ENVELOPE_VALUES = 2_000
#: Levels of objects and lists in a body or in an envelope.
MAX_DEPTH = 32
#: Values in a body of ``invoices.create_many``: 500 orders whose metadata is full of the smallest values there are.
MAX_MANY_VALUES = 400_000
#: In every other body.
MAX_VALUES = 10_000

#: A claim ends with the message that takes it beyond this: a script blocks the whole server.
CLAIM_BYTES = 256 * KIB
#: A consumer claims nothing more while it holds this much.
MAX_BYTES_IN_HAND = 64 * MIB

#: A message whose consumers died this often is handed over again only to be listed as rejected.
MAX_DEATHS = 5
#: One whose consumers died even then, of parsing it, is listed unparsed.
MAX_DEATHS_UNREAD = MAX_DEATHS + 2
#: After so many a message is claimed alone: should it kill its consumer again, it takes no other message with it.
LONELY_AFTER_DEATHS = 2

#: How much of a message that was rejected is kept.
EXCERPT_BYTES = 2 * KIB
#: A broadcast of Celery's remote control.
MAX_BROADCAST_BYTES = 64 * KIB
