"""A connection on which requests go out byte for byte as they are written, and answers come back unread-into."""

import http.client
import socket
from dataclasses import dataclass, field, replace

Pair = tuple[str, str]


@dataclass(frozen=True)
class Request:
    """One request. `target` is path and query as they stand on the wire."""

    target: str
    method: str = "GET"
    headers: tuple[Pair, ...] = ()
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for known, value in self.headers if known.lower() == name.lower()]

    def first(self, name: str) -> str:
        """The first value of a header, "" if there is none."""
        return next(iter(self.all(name)), "")

    def without(self, *names: str) -> "Request":
        """The same without some headers."""
        gone = {name.lower() for name in names}
        return replace(self, headers=tuple(pair for pair in self.headers if pair[0].lower() not in gone))

    def having(self, name: str, value: str) -> "Request":
        """The same with one header in the place of those of that name."""
        return replace(self.without(name), headers=(*self.without(name).headers, (name, value)))

    def wire(self, host: str) -> bytes:
        """As it is sent."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body

    def __str__(self) -> str:
        return " ".join([self.method, self.target, *(f"[{name}: {value}]" for name, value in self.headers)])


DROPPED = 0


@dataclass(frozen=True)
class Reply:
    """One answer. Status `DROPPED`: the connection was closed without a whole one."""

    status: int
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        """The values of a header, joined; the name in lower case."""
        return ", ".join(self.headers.get(name, []))


class Line:
    """A connection to one server, kept alive from request to request."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket: socket.socket | None = None

    def ask(self, request: Request) -> Reply:
        """Sends one request and reads the whole answer."""
        reused = self._socket is not None
        try:
            return self._ask(request)
        except (OSError, http.client.HTTPException):
            self.close()
            if not reused:
                return Reply(DROPPED)
        # A connection that was kept may have been closed by the other side in the meantime.
        try:
            return self._ask(request)
        except (OSError, http.client.HTTPException):
            self.close()
            return Reply(DROPPED)

    def _ask(self, request: Request) -> Reply:
        if self._socket is None:
            host, _, port = self.address.rpartition(":")
            self._socket = socket.create_connection((host, int(port)), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request.wire(self.address))
        reply, closes = read_reply(self._socket, request.method)
        if closes:
            self.close()
        return reply

    def close(self) -> None:
        """Closes the connection. The next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def read_reply(connection: socket.socket, method: str) -> tuple[Reply, bool]:
    """Reads one answer; says whether the other side closes after it."""
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
        headers: dict[str, list[str]] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        return Reply(response.status, headers, body), response.will_close
    finally:
        response.close()
