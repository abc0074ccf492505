"""Servers and clients that are broken on purpose, for the claims and tests that must notice."""

from lpws.server import handlers
from lpws.trace import clock


class Closing:
    """A half of a handler: the line ends after each answer, and the answer says so."""

    def prepare(self):
        super().prepare()
        self.request.connection.no_keep_alive = True
        self.set_header("Connection", "close")


class RefusesKeepAlive(Closing, handlers.Reload):
    """A server that closes, whatever the client asked for."""


class AnswersAtOnce(handlers.LongPolling):
    """A long poll that is not held."""

    def seconds(self, name, most):
        return 0.0 if name == "hold" else super().seconds(name, most)


async def drifting(client):
    """Short polling whose timer starts when the answer is in."""
    client.ready()
    due_s = await client.started() + client.transport.first_due_s(client.seed, client.number)
    while True:
        await client.sleep_until(due_s)
        await client.ask(f"&cursor={client.cursor}", due=due_s)
        due_s = clock() + client.transport.interval_s
