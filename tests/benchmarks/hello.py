"""The least that FastAPI can answer, served as the API is: what every figure of the API is compared with."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from alpimonitor_api.server import listening_socket

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}


def main() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        print(f'{{"port": "{listener.getsockname()[1]}"}}', flush=True)
        # As alpimonitor_api.server does: the same loop, the same HTTP, nothing logged a request.
        config = uvicorn.Config(
            app, lifespan="on", log_config=None, access_log=False, server_header=False, proxy_headers=False
        )
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
