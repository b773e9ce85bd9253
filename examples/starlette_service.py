"""Fetch on behalf of a web service's users: python examples/starlette_service.py PORT."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asyncfetch import AddressGuard, Client, Limits

# Users name the URLs: they must not reach what only this machine can reach. ALLOW="10.1.0.0/16" makes exceptions.
GUARD = AddressGuard(public_only=True, allow=os.environ.get("ALLOW", "").split())
PATIENCE = float(os.environ.get("PATIENCE", "5"))  # seconds that a user waits at most


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Client]]:
    async with Client(limits=Limits(total=50, per_host=4, max_body=2**20), guard=GUARD) as client:
        yield {"client": client}  # one for the whole application: its limits hold for all users together


async def statuses(request: Request) -> JSONResponse:
    """Answer `/statuses?url=...&url=...` with the status, or the code of the error, of each URL, up to ten."""
    found: dict[str, int | str | None] = dict.fromkeys(request.query_params.getlist("url")[:10], "not in time")
    with anyio.move_on_after(PATIENCE):  # then the rest is given up; Timeouts count neither the queue nor retries
        async with request.state.client.fetch_many(list(found)) as results:
            async for r in results:
                found[r.url] = r.error.code if r.error else r.status
    return JSONResponse(found)


app = Starlette(routes=[Route("/statuses", statuses)], lifespan=lifespan)
if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1])) if sys.argv[1:] else sys.exit(__doc__)
