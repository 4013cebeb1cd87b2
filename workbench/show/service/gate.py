"""The gate before all endpoints: who asks, how much, how fast, and what is said of failures. No request is logged."""

import asyncio
import hashlib
import json
import logging

from workbench.show.service.bodies import Refused
from workbench.show.service.config import LOOPBACK

ALONE = "me"  # the user of a service without tokens
_log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware: each request is whole, small and of a known user when it reaches an endpoint, as `scope["user"]`.

    Args:
        app: ASGI app.
        limits: `Limits`.
        tokens: dict of token -> user; without any, whoever reaches this machine's loopback is the user "me".
        rates: `Rates` of these users.
    """

    def __init__(self, app, limits, tokens, rates):
        self.app, self.limits, self._rates = app, limits, rates
        self._users = {_digest(token): user for token, user in tokens.items()}

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            async with asyncio.timeout(self.limits.seconds):
                scope = {**scope, "user": self._user(scope)}
                whole = await self._body(scope, receive)
                await self.app(scope, whole, answer)
        except Refused as err:
            await answer.refuse(err)
        except TimeoutError:
            await answer.refuse(Refused(408, f"This was not done after {self.limits.seconds:g} seconds: send fewer rows."))
        except Exception as err:  # what is written down must not hold what was sent
            at = err.__traceback__
            while at.tb_next:
                at = at.tb_next
            _log.error("%s in %s, line %d", type(err).__name__, at.tb_frame.f_code.co_filename, at.tb_lineno)
            await answer.refuse(Refused(500, "Something is wrong with the server."))

    def _user(self, scope):
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._users:
            kind, _, token = headers.get(b"authorization", "").partition(" ")
            user = self._users.get(_digest(token.strip())) if kind.lower() == "bearer" else None
            if user is None:
                raise Refused(401, "Give your token: Authorization: Bearer TOKEN.", {"www-authenticate": "Bearer"})
        else:
            host = headers.get(b"host", "").rpartition(":")[0] or headers.get(b"host", "")
            if host.strip("[]").lower() not in LOOPBACK:  # a page in a browser may have sent it
                raise Refused(403, "Without tokens this server answers on the loopback of its own machine only.")
            user = ALONE
        if not self._rates.take(user):
            raise Refused(429, f"More than {self.limits.rate} requests a second: wait a moment.", {"retry-after": "1"})
        return user

    async def _body(self, scope, receive):
        """Read the body, and hand it on as one message."""
        most, parts, size, more = self.limits.body, [], 0, True
        try:
            async with asyncio.timeout(self.limits.seconds / 10) as patience:
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "The request ended before its body was there.")
                    part, more = message.get("body", b""), message.get("more_body", False)
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    elif size - len(part) <= most:  # read on, to nowhere: whoever still sends would not see the answer
                        parts.clear()
                        patience.reschedule(asyncio.get_running_loop().time() + self.limits.seconds / 2)
        except TimeoutError:
            if size <= most:
                raise Refused(408, "The body took too long to arrive.") from None
        if size > most:
            raise Refused(413, f"The body has more than {most} bytes: send fewer rows at a time.")
        parts = [b"".join(parts)]

        async def whole():
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            return await receive()

        return whole


class _Answer:
    """What is sent back; a refusal goes out only where nothing was sent before."""

    def __init__(self, send):
        self.send, self.begun = send, False

    async def __call__(self, message):
        self.begun = True
        await self.send(message)

    async def refuse(self, err):
        if self.begun:
            return
        body = json.dumps({"error": err.sentence}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close", **err.headers}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": err.status, "headers": pairs})
        await self({"type": "http.response.body", "body": body})


def users(tokens):
    """All users of a service with these tokens, or without any: list of str."""
    return list((tokens or {"": ALONE}).values())


def _digest(token):
    """Tokens are looked up by their hash, so that the time this takes says nothing about them."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
