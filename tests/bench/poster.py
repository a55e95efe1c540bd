"""A shop that posts orders: ``python -m tests.bench.poster URL CONNECTIONS FILE [TOKEN]``, a process of its own.

The file holds an order a line (JSON). Each connection is kept open and sends its next order when it has the answer to
the last. Prints one JSON line: the seconds it took, and how many answers had each status.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ANSWER_SECONDS = 60.0


async def post_all(url: str, connections: int, bodies: list[bytes], token: str | None) -> tuple[float, Counter[int]]:
    """Post them all; seconds, and answers by status."""
    parts, left, statuses = urlsplit(url), iter(bodies), Counter[int]()
    lines = [f"POST {parts.path} HTTP/1.1", f"host: {parts.netloc}", "content-type: application/json"]
    lines += [f"authorization: Bearer {token}"] if token else []
    head = "\r\n".join(lines) + "\r\ncontent-length: "
    began = time.perf_counter()
    ends = (parts.hostname or "", parts.port or 80)
    async with asyncio.timeout(ANSWER_SECONDS + len(bodies) / 20), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_connection(ends, head, left, statuses))
    return time.perf_counter() - began, statuses


async def _connection(ends: tuple[str, int], head: str, left: Iterator[bytes], statuses: Counter[int]) -> None:
    reader, writer = await asyncio.open_connection(*ends)
    try:
        for body in left:
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            statuses[int(answer[9:12])] += 1
            await reader.readexactly(_length(answer))
    finally:
        writer.close()


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return int(next(line.partition(b":")[2] for line in lines if line.startswith(b"content-length:")))


def main() -> None:
    """Post what the file holds, and tell."""
    url, connections, file, *token = sys.argv[1:]
    bodies = Path(file).read_bytes().splitlines()
    seconds, statuses = asyncio.run(post_all(url, int(connections), bodies, token[0] if token else None))
    print(json.dumps({"seconds": seconds, "statuses": statuses}), flush=True)


if __name__ == "__main__":
    main()
