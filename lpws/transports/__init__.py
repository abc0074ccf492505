"""The transports, one file each: the server half beside the client half."""

from .. import specs
from . import longpolling, reload, shortpolling, sse, websocket

#: Specification → the module with its two halves.
HALVES = {
    specs.Reload: reload,
    specs.ShortPolling: shortpolling,
    specs.LongPolling: longpolling,
    specs.SSE: sse,
    specs.WebSocket: websocket,
}
