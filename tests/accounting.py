"""The books of a run, kept by each side on its own and then compared."""

from __future__ import annotations

from collections import Counter

from lpws import Run


def faults(run: Run) -> list[str]:
    """What does not agree between the sides of a run; empty if all does."""
    found = []

    def expect(what: str, left: object, right: object) -> None:
        if left != right:
            found.append(f"{what}: {left} against {right}")

    def count(name: str, side: str, *fields: int) -> Counter:
        return Counter(
            tuple(event[field] for field in fields) for event in run.events if event[1:3] == (name, side)
        )

    client, request, message, size = 3, 5, 6, 7
    clients = range(run.workload.clients)

    # Messages. The clients' side first, from its events alone.
    received = count("message_received", "client", client, message)
    last = {number: max((m for c, m in received if c == number), default=0) for number in clients}
    published = count("published", "server", message)
    due = count("due", "publisher", message)
    expect("intended and published", due, published)
    expect("ids without a hole", sorted(published), [(id,) for id in range(1, len(published) + 1)])
    delivered = set(received)
    missed = {(c, m) for c in clients for m in range(1, last[c]) if (c, m) not in received}
    pending = {(c, m) for c in clients for (m,) in published if m > last[c]}
    expect(
        "delivered, missed and pending",
        len(delivered) + len(missed) + len(pending),
        len(published) * len(clients),
    )
    expect("received once", set(received.values()) - {1}, set())
    expect("received but not published", {m for _, m in received} - {m for (m,) in published}, set())
    if run.transport.cursor:
        expect("missed in spite of a cursor", missed, set())
    expect("messages sent and received", count("message_sent", "server", client, message), received)

    # Requests and connections.
    asked = count("request_sent", "client", client, request)
    expect("requests sent and received", asked, count("request_received", "server", client, request))
    expect("requests sent once", set(asked.values()) - {1}, set())
    sent, got = (
        count("response_sent", "server", client, request),
        count("response_received", "client", client, request),
    )
    expect("answers sent once, to a request", set((sent - asked).elements()), set())
    if run.label != "SSE":  # whose answer does not end
        # A long poll may be held when the run ends, or its empty answer be on the way.
        final = {max(r for c, r in asked if c == number) for number, _ in asked}
        open_end = final - {event[request] for event in run.events if event[1] == "message_received"}
        expect("answers sent and received", _without(sent, open_end), _without(got, open_end))
        expect("requests and answers", _without(asked, open_end), _without(got, open_end))
        if not run.transport.persistent:
            expect("requests and answers to the end", asked, got)
    opened = {side: count("opened", side, 4) for side in ("client", "server")}
    expect("opened connections", sum(opened["client"].values()), sum(opened["server"].values()))
    for side in ("client", "server"):
        expect(f"opened and closed ({side})", opened[side], count("closed", side, 4))
    for name in ("read", "written"):
        expect(f"a count of bytes a connection ({name})", count(name, "server", 4), opened["server"])
        # The kernel's own count, of the connections of which it has one.
        ours, kernels = count(name, "server", 4, size), count(f"kernel_{name}", "server", 4, size)
        told = {connection for connection, _ in kernels}
        expect(
            f"bytes by the kernel's count ({name})", {pair for pair in ours if pair[0] in told}, set(kernels)
        )
    expect("connections begun and opened", count("opening", "client", 4), opened["client"])

    # Bytes, where our own HTTP client counted them.
    if run.label not in ("SSE", "WebSocket"):
        read, written = (sum(e[size] for e in run.events if e[1] == name) for name in ("read", "written"))
        expect("bytes of requests", sum(e[size] for e in run.events if e[1] == "request_sent"), read)
        if got == sent:
            expect(
                "bytes of answers", sum(e[size] for e in run.events if e[1] == "response_received"), written
            )
    return found


def _without(pairs: Counter, requests: set[int]) -> Counter:
    return Counter({(c, r): number for (c, r), number in pairs.items() if r not in requests})


#: The events that the books must not lose or double; the rest is lateness of the instrument.
COUNTED = (
    "published",
    "opening",
    "opened",
    "closed",
    "read",
    "written",
    "request_sent",
    "request_received",
    "response_sent",
    "response_received",
    "message_sent",
    "message_received",
)
