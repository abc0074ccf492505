"""A connection of a client without a fleet around it: what it asks, reads, records and gives up."""

import asyncio
import itertools

import pytest

import lpws
from lpws.transports.connection import Connection, Gone

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n7 tea is ready\n"


def connected(act, answers):
    """What an act returns that is given a connection to a server with these answers; and what was seen."""
    seen = {"asked": [], "events": [], "opened": [], "closed": [], "failures": []}

    async def serve(reader, writer):
        for answer in answers:
            seen["asked"].append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        if answers[-1:] == [b""]:  # nothing is said, and nothing ends
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async def run():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            connection = Connection(
                5, 3, "/longpolling?", "lab", seen["events"].append,
                seen["opened"].append, seen["closed"].append, seen["failures"].append,
            )  # fmt: skip
            await loop.create_connection(lambda: connection, *server.sockets[0].getsockname())
            try:
                return await act(connection)
            finally:
                connection.close()
                await connection.gone

    return asyncio.run(run()), seen


def test_a_connection_asks_reads_and_records():
    async def act(connection):
        return [await connection.get(f"&cursor={cursor}", request=cursor) for cursor in (6, 7)]

    responses, seen = connected(act, [ANSWER, ANSWER])
    assert [(response.status, response.body) for response in responses] == 2 * [(200, b"7 tea is ready\n")]
    assert seen["asked"] == [
        b"GET /longpolling?client=3&request=%d&cursor=%d HTTP/1.1\r\nHost: lab\r\n\r\n" % (n, n)
        for n in (6, 7)
    ]
    assert (seen["opened"], seen["closed"], seen["failures"]) == ([5], [5], [])
    events = [lpws.Event._make(event) for event in seen["events"]]
    assert {(event.client, event.connection) for event in events} == {(3, 5)}
    assert [(event.name, event.request, event.size) for event in events] == [
        (name, n, size)
        for n, asked in zip((6, 7), seen["asked"], strict=True)
        for name, size in (("request_sent", len(asked)), ("response_received", len(ANSWER)))
    ]
    assert all(a.t <= b.t for a, b in itertools.pairwise(events))


@pytest.mark.parametrize("answers", [[], [b"not HTTP\r\n\r\n"], [ANSWER[:-3]]], ids=["end", "prose", "torn"])
def test_a_connection_that_ends_too_early_says_so(answers):
    with pytest.raises(Gone):
        connected(lambda connection: connection.get("", request=1), answers)


@pytest.mark.parametrize("together", [True, False], ids=["with the other", "after it"])
def test_an_answer_that_nobody_has_asked_for_is_a_failure(together):
    async def act(connection):
        if together:
            return await connection.get("", request=1)
        response = await connection.get("", request=1)
        connection.data_received(ANSWER)
        return response

    _, seen = connected(act, [ANSWER + together * ANSWER])
    assert [event[1:] for event in seen["events"] if event[1] == "failed"] == [
        ("failed", "client", 3, 5, -1, -1, 200)
    ]
    assert not seen["failures"]


def test_a_connection_that_has_ended_is_not_asked():
    async def act(connection):
        connection.transport.abort()
        await connection.gone
        with pytest.raises(Gone, match="ended before the request was sent"):
            await connection.get("", 1)

    _, seen = connected(act, [ANSWER])
    assert "request_sent" not in [event[1] for event in seen["events"]]


def test_an_answer_that_does_not_come_in_time_is_given_up():
    with pytest.raises(TimeoutError, match="the time was over"):
        connected(lambda connection: connection.get("", request=1, until_s=lpws.clock() + 0.01), [b""])


def test_an_error_of_the_sink_is_told_as_ours():
    def sink(data):
        raise ValueError("no messages")

    async def act(connection):
        return await connection.get("", request=1, sink=sink)

    response, seen = connected(act, [ANSWER])
    assert response.status == 200
    assert [str(error) for error in seen["failures"]] == ["no messages"]
