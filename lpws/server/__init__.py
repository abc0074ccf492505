"""Process 1: Tornado in a thread of the kernel, instrumented where connections are accepted."""

from .server import Server
