"""What a test, or a part of it, leaves behind."""

import contextlib
import gc
import os
import threading

import nursery

with contextlib.suppress(ImportError):
    import uvloop

    uvloop.new_event_loop().close()  # libuv makes a pipe for signals once, and keeps it


@contextlib.contextmanager
def nothing_left_behind():
    """Fails if what runs inside leaves a thread, an open file, or a child process behind."""
    # With all tests and their libraries in memory, one look for garbage takes half a second; among what
    # has come since, a millisecond. What was there before need not be looked through, or only if in doubt.
    gc.freeze()
    try:
        before = _open_things()
        yield
        gc.collect()
        left = _left(before)
    finally:
        gc.unfreeze()
    if any(left.values()):
        gc.collect()
        left = _left(before)
    assert not any(left.values()), left


def _left(before: dict[str, set]) -> dict[str, set]:
    return {kind: things - before[kind] for kind, things in _open_things().items()}


def _open_things() -> dict[str, set]:
    things = {"threads": {thread for thread in threading.enumerate() if thread.is_alive()}}
    if os.path.isdir("/proc/self/fd"):
        things["files"] = {_target(fd) for fd in os.listdir("/proc/self/fd")} - {None}
        main = threading.main_thread().native_id
        with open(f"/proc/self/task/{main}/children", encoding="ascii") as children:
            things["children"] = set(children.read().split()) | nursery.COPIES
    return things


def _target(fd: str) -> tuple[str, str] | None:
    try:
        return fd, os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # the listing's own
        return None
