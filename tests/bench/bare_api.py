"""The least that takes an order over HTTP: a Starlette route that does one INSERT, and answers after the commit.

``python -m tests.bench.bare_api DATABASE_URL`` prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator

import psycopg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CONNECTIONS = 16
TABLE = "CREATE TABLE IF NOT EXISTS bare_order (id bigserial PRIMARY KEY, order_id text UNIQUE, body jsonb NOT NULL)"
INSERT = "INSERT INTO bare_order (order_id, body) VALUES (%s, %s) RETURNING id"


def build_app(url: str) -> Starlette:
    """The application. Its connections commit each statement."""
    idle: asyncio.Queue[psycopg.AsyncConnection[tuple[int]]] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for _number in range(CONNECTIONS):
                connection = await psycopg.AsyncConnection[tuple[int]].connect(url, autocommit=True)
                idle.put_nowait(await stack.enter_async_context(connection))
            yield

    async def take(request: Request) -> Response:
        body = await request.body()
        order = json.loads(body)
        connection = await idle.get()
        try:
            cursor = await connection.execute(INSERT, (order["order_id"], body.decode()), prepare=True)
            row = await cursor.fetchone()
        finally:
            idle.put_nowait(connection)
        return JSONResponse({"id": row[0] if row else None, "order_id": order["order_id"]}, 202)

    return Starlette(routes=[Route("/orders", take, methods=["POST"])], lifespan=lifespan)


def main() -> None:
    """Serve until it is killed."""
    url = sys.argv[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(build_app(url), log_level="warning", access_log=False))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
