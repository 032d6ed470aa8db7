"""Plain HTTP requests as they are on the wire: no redirects followed, no header added, no body decoded."""

import http.client
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

Body = bytes | IO[bytes] | Iterable[bytes] | None


@dataclass(frozen=True)
class Answer:
    """A whole answer: status, headers as sent, body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def header(self, name: str, absent: str = "") -> str:
        """A header's value, whatever the case of its name."""
        return self.headers.get(name, absent)

    def lower(self) -> dict[str, str]:
        """All headers, names in lower case."""
        return {name.lower(): value for name, value in self.headers.items()}


_trusted: list[ssl.SSLContext] = []


def trust(context: ssl.SSLContext) -> None:
    """What https URLs are asked with from now on, unless a request says otherwise."""
    _trusted[:] = [context]


def _connect(
    url: str, timeout: float, context: ssl.SSLContext | None = None
) -> tuple[http.client.HTTPConnection, str]:
    parts = urlsplit(url)
    if parts.scheme == "https":
        context = context or (_trusted[0] if _trusted else None)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    return connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: Body = None,
    *,
    timeout: float = 60.0,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Sends one request and reads the whole answer. A body that is not bytes goes out as it comes, in HTTP chunks
    unless a Content-Length is given.

    Raises http.client.IncompleteRead when the body ends before its Content-Length or its last chunk.
    """
    connection, target = _connect(url, timeout, context)
    try:
        connection.request(method, target, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


@contextmanager
def open_stream(method: str, url: str, headers: Mapping[str, str] | None = None, *, timeout: float = 60.0):
    """Sends one request and yields the response with its body unread. Leaving the block drops the connection."""
    connection, target = _connect(url, timeout)
    try:
        connection.request(method, target, headers=dict(headers or {}))
        response = connection.getresponse()
        try:
            yield response
        finally:
            response.close()
    finally:
        connection.close()


def exchange(address: str, sent: bytes, *, timeout: float = 10.0) -> bytes:
    """Sends bytes as they are and answers what comes back until the other side closes."""
    host, _, port = address.rpartition(":")
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(sent)
        while piece := connection.recv(1 << 16):
            received += piece
    return bytes(received)
