"""A chat on every transport: one room, five ways in, the page that people have of it, and robots."""

from .robots import Robots as Robots
from .room import Times as Times
from .server import ChatServer as ChatServer
