"""The transports, one file each: the server half beside the client half."""

from .. import specs
from . import eventstream, longpolling, request, shortpolling, websocket

#: Specification → the module with its two halves.
HALVES = {
    specs.Request: request,
    specs.ShortPolling: shortpolling,
    specs.LongPolling: longpolling,
    specs.EventStream: eventstream,
    specs.WebSocket: websocket,
}
