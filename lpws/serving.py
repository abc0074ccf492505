"""All that serves the clients of a run: its servers, and the proxy and the link that lead to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

from . import services
from .decisions import Mailbox
from .relay import Relay
from .run import Run
from .server.server import Server

#: By what name the laboratory's proxies call their servers.
UPSTREAM = "servers"


class Serving:
    """Servers, a proxy and a link, as a run asks for them; a context manager.

    Clients connect to its `address` and name `host`: those of the link, if there is one, else of the proxy,
    else of the server.

    Parameters
    ----------
    run
        The specification.
    handler
        In place of the transport's server half, if given.
    key
        What the clients show, by which a server tells them from strangers.
    record
        Called with each event of the link.
    """

    def __init__(self, run: Run, handler: type | None, key: str, record: Callable[[tuple], None]) -> None:
        self.run, self.key, self.record = run, key, record
        handlers = {run.transport.path: handler} if handler else None
        turns = [(number, run.servers) for number in range(run.servers)]
        self.servers = [Server(handlers=handlers, ticks=True, turn=turn) for turn in turns]
        self.faults: list[str] = []
        self.proxy: services.proxy.Nginx | None = None
        self.relay: Relay | None = None

    def __enter__(self) -> Serving:
        run, first = self.run, self.servers[0]
        with ExitStack() as stack:
            for number, server in enumerate(self.servers):
                stack.enter_context(server)
                server.room.key = self.key.encode()
                turn = (0, 1) if run.broker else (number, run.servers)
                server.room.mailbox = Mailbox(*turn, alone=run.servers == 1)  # which forgets nothing
            self.address, self.host = ("127.0.0.1", first.port), first.host
            self.front = stack.enter_context(ExitStack())
            if run.through:
                ports = [server.port for server in self.servers]
                self.proxy = self.front.enter_context(services.nginx(run.through, ports))
                self.address = self.proxy.host, self.proxy.port
                self.host = "{}:{}".format(*self.address)
                for server in self.servers:
                    server.admit(self.host, self.proxy.host, UPSTREAM)
            if run.link:
                self.relay = Relay(run.link, self.address[1], self.record, first.log)
                self.address = stack.enter_context(self.relay).address
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def begin(self, start: float) -> None:
        """Let faults and outages come at their times, counted from the start [s]."""
        if self.relay:
            self.relay.begin(start)
        for outage in self.run.outages:
            self.servers[outage.server].plan(outage, start)

    def publish(self, number: int, text: str) -> None:
        """Publish the message of this number at the server whose turn it is; behind a broker, at all."""
        turn = (number - 1) % self.run.servers
        for server in self.servers if self.run.broker else [self.servers[turn]]:
            server.thread.post(server.room.publish, text)

    def leave(self, quiet: Callable[[Callable[[], bool]], object]) -> None:
        """End the proxy, whose connections to the servers outlive those of the clients.

        Parameters
        ----------
        quiet
            Waits until a condition is true, or its patience is over.
        """
        # The clients' last bytes may still be on their way: let them arrive, so that both sides agree.
        quiet(lambda: not (self.relay and self.relay.crossings))
        self.front.close()
        quiet(lambda: not any(server.open for server in self.servers))
        if self.proxy:
            self.faults += self.proxy.faults()
        last = [server.room.mailbox.last for server in self.servers]
        if self.run.broker and (lost := sum(max(last) - each for each in last)):
            self.faults.append(f"{lost} messages were not published at every server")

    @property
    def arrived(self) -> set[int]:
        """Clients of which a request has come to a server."""
        return set().union(*(server.room.arrived for server in self.servers))

    @property
    def proxy_log(self) -> tuple[str, ...]:
        """Lines of the proxy's log."""
        return tuple(self.proxy.log().splitlines()) if self.proxy else ()

    @property
    def log(self) -> list[str]:
        """Lines about faulty requests and handlers, of all servers."""
        return [line for server in self.servers for line in server.log]

    @property
    def strangers(self) -> dict[int, int]:
        """Connection → number of requests on it that no client of the run sent."""
        begun = [server.room for server in self.servers if server.trace]
        return {connection: n for room in begun for connection, n in room.strangers.items()}

    def events(self) -> Iterator[tuple]:
        """Events of the servers, without those of strangers; a message is published once."""
        # The requests of a stranger leave no event. Behind a proxy their connections are not theirs alone.
        skip = {} if self.proxy else self.strangers
        for number, server in enumerate(self.servers):
            for event in list(server.trace):
                if event[4] in skip and event[2] == "server":
                    continue
                if event[1] != "published" or not (number and self.run.broker):
                    yield event
