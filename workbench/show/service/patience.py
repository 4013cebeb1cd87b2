"""A connection that does not say what it wants is closed: uvicorn waits for the end of a request's head as long as it takes."""

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0  # from the first byte of a head, or the opening of the connection, to its end


class Patient(H11Protocol):
    """HTTP/1.1 of uvicorn, with a bound on the time that the head of a request takes."""

    _waiting = None

    def connection_made(self, transport):
        """Start the clock."""
        super().connection_made(transport)
        self._waiting = self.loop.call_later(SECONDS, transport.close)

    def data_received(self, data):
        """Stop the clock once the head is whole; start it with the next one."""
        super().data_received(data)
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        elif not busy and self._waiting is None and not self.transport.is_closing():
            self._waiting = self.loop.call_later(SECONDS, self.transport.close)

    def connection_lost(self, exc):
        """Stop the clock."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)
