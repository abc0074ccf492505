"""The body of one nginx `location`: parsed word by word, then run in front of our server and watched."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import unicodedata
import zlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .. import services
from ..services.service import StartError
from ..specs import Proxy
from .behind import Scene
from .observer import Wrong

#: A sentence, and the coroutine that raises `Wrong` unless it is true of what the scene's proxy does.
Behavior = tuple[str, Callable[[Scene], Awaitable[Any]]]


@dataclass(frozen=True)
class Location:
    """The body of a location to write, which an nginx runs.

    Parameters
    ----------
    stub
        What is said to somebody who has not begun.
    around
        The lines of the http block.
    stages
        Behaviors, the most basic ones first. All are watched at the same time; those of a later stage are
        told only if the earlier ones are right.
    """

    stub: str
    around: str
    stages: Sequence[Sequence[Behavior]]

    def judge(self, text: Any) -> list[str]:
        try:
            lines = read(text)
        except ValueError as problem:
            return [f"✗ {problem}"]
        if not lines.strip():
            return [f"… {self.stub}"]
        # The same lines always get the same verdict; different lines get different message texts.
        draw = random.Random(zlib.crc32(lines.encode()))
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener, ThreadPoolExecutor(1) as thread:
            listener.setblocking(False)
            try:
                with services.nginx(Proxy(lines, http=self.around), [listener.getsockname()[1]]) as proxy:
                    # In a thread, because the kernel's thread already runs an event loop.
                    return thread.submit(asyncio.run, self._watched(listener, proxy.port, draw)).result()
            except services.Missing as missing:
                return [f"… {missing}"]
            except StartError as error:
                return [f"✗ {error}: run the cell again"]
            except ValueError as refusal:
                return [f"✗ {refusal} – think about {_page(str(refusal), lines)}"]

    async def _watched(self, listener: socket.socket, port: int, draw: random.Random) -> list[str]:
        said: list[str] = []
        async with Scene(listener, port, draw) as scene:
            # Start all at once, so that the slowest are already running when the first finish.
            running = [
                [(sentence, asyncio.create_task(_wrong(behavior, scene))) for sentence, behavior in stage]
                for stage in self.stages
            ]
            for stage in running:
                found = [(sentence, await task) for sentence, task in stage]
                said += dict.fromkeys(f"✗ {wrong}" if wrong else f"✓ {sentence}" for sentence, wrong in found)
                if any(wrong for _, wrong in found):
                    break
            for _, task in sum(running, []):
                task.cancel()
        return said


async def _wrong(behavior: Callable[[Scene], Awaitable[Any]], scene: Scene) -> Wrong | None:
    try:
        await behavior(scene)
    except Wrong as wrong:
        return wrong
    except OSError:
        return Wrong("nginx stopped accepting connections", "what may have ended nginx")
    except (ValueError, zlib.error):
        return Wrong("an answer arrived that no client can parse", "the headers that this location adds")
    return None


def _page(refusal: str, lines: str) -> str:
    """A thought on a line that nginx refuses."""
    if not (name := re.search(r'unknown "(\w+)" variable', refusal)):
        return "which values nginx's documentation allows for this directive"
    place = next((n for n, line in enumerate(lines.split("\n"), 1) if f"${name[1]}" in line), 0)
    return f"who defines `${name[1]}` (line {place}): nginx itself, or a block outside the location"


#: Characters that a location may have; the lesson's solution has about 200.
MOST = 4000
#: The directives that a location may use. None of them reads or writes a file, opens a port, runs a program
#: or talks to anybody but the client and the server, whatever its values are.
ALLOWED = re.findall(
    r"\w+",
    """
    proxy_http_version proxy_set_header proxy_hide_header proxy_pass_header proxy_ignore_headers proxy_method
    proxy_pass_request_headers proxy_pass_request_body proxy_redirect proxy_cookie_path proxy_limit_rate
    proxy_buffering proxy_buffers proxy_buffer_size proxy_busy_buffers_size proxy_request_buffering
    proxy_read_timeout proxy_send_timeout proxy_connect_timeout proxy_socket_keepalive
    proxy_next_upstream proxy_next_upstream_timeout proxy_next_upstream_tries proxy_intercept_errors
    proxy_ignore_client_abort proxy_cache proxy_cache_bypass proxy_no_cache proxy_max_temp_file_size
    gzip gzip_types gzip_proxied gzip_min_length gzip_comp_level gzip_vary gzip_buffers gzip_disable
    gzip_http_version add_header expires etag default_type charset chunked_transfer_encoding
    tcp_nodelay tcp_nopush keepalive_timeout keepalive_requests send_timeout postpone_output limit_rate
    client_max_body_size client_body_timeout client_body_buffer_size server_tokens access_log
    """,
)
#: Those of them that would write files unless they are switched off.
_ONLY_OFF = {"access_log", "proxy_cache"}
_BLOCK = "it opens a block: hand in only the lines inside one `location { }`"
#: Name of a directive → why it is not handed to nginx.
_REFUSED = {
    "proxy_pass": "the check adds it, with its own server's address, so leave it out",
    r"http|server|location|upstream|events|stream|map|if|limit_except|types|geo|split_clients": _BLOCK,
    r"listen|server_name|user|load_module|include|worker_\w+|pid|daemon|master_process|env|error_log|resolver":
        "it affects more than this location, and is up to whoever runs this nginx",
    r"\w*(lua|perl|njs)\w*|js_\w+": "it runs code inside nginx, and the task needs none",
    r"root|alias|autoindex|index|try_files|\w+_(store|path|log|file|only|access)|\w*(ssl|auth)\w*":
        "it reads or writes files, and this location should only pass requests on",
}  # fmt: skip
#: Quotes and comments begin where a word begins; `${name}` may be part of one.
_PART = re.compile(
    r"""(?P<blank>[ \t\r\n]+|\#[^\n]*) | (?P<mark>[;{}])
    | (?P<quoted>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')(?=[ \t\r\n;{]|$)
    | (?P<plain>(?:\\.|\$\{|[^ \t\r\n;{}"'\\])(?:\\.|\$\{|[^ \t\r\n;{\\])*)""",
    re.VERBOSE,
)


def read(text: object) -> str:
    """The directives of a location, each in the line where it began, written so that none can hide another.

    Raises
    ------
    ValueError
        If it is no text, or has something in it that this check does not hand to nginx; with a sentence.
    """
    if not isinstance(text, str):
        raise ValueError(f"expected the lines of a location as text, got {text!r:.60}")
    if text.strip() in ("...", "…"):
        return ""
    if len(text) > MOST:
        raise ValueError(f"expected at most {MOST:,} characters, got {len(text):,}")
    lines = [""] * (text.count("\n") + 1)
    words: list[str] = []
    place = first = 0
    while place < len(text):
        line = text.count("\n", 0, place)
        part = _PART.match(text, place)
        if part is None:
            raise ValueError(f"line {line + 1}: {_broken(text, place)}")
        place = part.end()
        if part.lastgroup == "blank":
            continue
        if part.lastgroup == "mark":
            if part[0] != ";" or not words:
                raise ValueError(f"line {line + 1}: {_marked(part[0], words)}")
            lines[first] += " ".join(_written(word) for word in words) + "; "
            words = []
            continue
        if odd := re.search(r"[^ -~]", part[0]):
            name = unicodedata.name(odd[0], f"U+{ord(odd[0]):04X}").lower()
            raise ValueError(f"line {line + 1}: {odd[0]!r}, the {name}, does not belong in a configuration")
        word = part[0][1:-1] if part.lastgroup == "quoted" else part[0]
        word = re.sub(r"\\([\"'\\])", r"\1", word)
        if not words:
            first = line
            _allow(word, line + 1)
        elif word in ALLOWED and line > first:
            raise ValueError(
                f"line {line + 1}: nginx would read `{word}` as a value of `{words[0]}` – think about what "
                "ends a directive"
            )
        words.append(word)
        if words[0] in _ONLY_OFF and words[1:] not in ([], ["off"]):
            raise ValueError(f"line {line + 1}: `{words[0]}` would write files; here it can only be off")
    if words:
        raise ValueError(f"line {first + 1}: `{words[0]}` has no end – think about what ends a directive")
    return "\n".join(line.rstrip() for line in lines)


def _broken(text: str, place: int) -> str:
    if text[place] in "\"'":
        return f"the quote {text[place]} is not closed on its line, or not followed by a space or ;"
    return "a \\ at the end escapes nothing"


def _marked(mark: str, words: list[str]) -> str:
    if mark == "{":
        return f"`{' '.join([*words, mark])}`: {_BLOCK}"
    if mark == "}":
        return "a } that closes nothing: hand in only the lines inside one `location { }`"
    return "a ; that ends nothing"


def _allow(name: str, line: int) -> None:
    """Raise `ValueError` unless the directive may be used."""
    if name in ALLOWED:
        return
    for pattern, why in _REFUSED.items():
        if re.fullmatch(pattern, name):
            raise ValueError(f"line {line}: `{name}` is not allowed here: {why}")
    near = get_close_matches(name, ALLOWED, 1)
    raise ValueError(
        f"line {line}: `{name[:40]}` is not a directive that this check passes to nginx"
        + (f"; did you mean `{near[0]}`?" if near else " (proxy_…, gzip…, add_header and the like)")
    )


def _written(word: str) -> str:
    """The word as nginx reads it back, whatever is in it."""
    if re.fullmatch(r"[\w$./:,=+*~-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", r"\\").replace('"', r"\"") + '"'
