"""A filer as it was before 4.30, in front of a real one: with `callback`, what it says in JSON is written as a script.

`writeJson` in `weed/server/common.go` took the name from Go's `FormValue`, which reads the query first and then a form in
the body, whatever the method is.
"""

import email.parser
import email.policy
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from . import wire
from .ports import HOST


class JsonpFiler:
    """Listens on a port of its own; GETs go on to the filer at `url`."""

    def __init__(self, url: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = wire.request("GET", url + self.path, {"Accept": self.headers.get("Accept") or "*/*"})
                content, media_type = answer.body, answer.headers.get("Content-Type", "")
                callback = _callback(self.path, self.headers.get("Content-Type") or "", body)
                if callback and media_type.startswith("application/json"):
                    content, media_type = callback + b"(" + content + b")", "application/javascript"
                self.send_response(answer.status)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_HEAD(self) -> None:
                self.send_response(wire.request("HEAD", url + self.path).status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.address = f"{HOST}:{self._server.server_address[1]}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listens no longer."""
        self._server.shutdown()
        self._server.server_close()


def _callback(target: str, media_type: str, body: bytes) -> bytes:
    query = parse_qs(urlsplit(target).query, keep_blank_values=True, encoding="latin-1")
    if "callback" in query:
        return query["callback"][0].encode("latin-1")
    if not media_type.startswith("multipart/form-data"):
        return b""
    head = f"Content-Type: {media_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    for part in form.iter_parts():
        if part.get_param("name", header="Content-Disposition") == "callback":
            return part.get_payload(decode=True) or b""
    return b""
