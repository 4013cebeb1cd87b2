"""A service that trains prompts for others on a model that stays with it: `deep-dsl serve --model smollm2`.

    app = service.create(lm)                    # an ASGI app; `client.Client(app)` asks it in this process
    with service.running(app) as address:       # the same over HTTP, on the loopback of this machine
        client.Client(address).gradient(vectors, texts, labels)

A client sends vectors, texts and labels and gets a loss and a gradient; which optimiser it uses is its own affair. The server
sees what is sent and keeps none of it. It needs FastAPI and uvicorn: pip install 'fastapi>=0.115' 'uvicorn>=0.30'
"""

from workbench.show.service.config import Limits
from workbench.show.service.serving import create, running

__all__ = ["Limits", "create", "running"]
