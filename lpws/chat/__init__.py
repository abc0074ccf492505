"""A chat on every transport: one room, five ways in, the page that people have of it, and robots."""

from .opening import open_chat as open_chat
from .robots import Robots as Robots
from .room import Times as Times
from .server import ChatServer as ChatServer
