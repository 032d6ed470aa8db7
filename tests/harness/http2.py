"""One request over HTTP/2."""

import socket
import ssl
from collections.abc import Mapping

import h2.config
import h2.connection
import h2.events


def http2(
    address: str,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    context: ssl.SSLContext | None = None,
) -> tuple[str, bytes]:
    """Status and body of one request over HTTP/2, without TLS unless a context is given."""
    host, _, port = address.rpartition(":")
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    scheme = "https" if context else "http"
    pseudo = [(":method", method), (":path", target), (":scheme", scheme), (":authority", address)]
    http.send_headers(1, [*pseudo, *headers.items()], end_stream=not body)
    status, received = "", bytearray()
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        line = plain
        if context:
            context.set_alpn_protocols(["h2"])
            line = context.wrap_socket(plain, server_hostname=host)
            assert line.selected_alpn_protocol() == "h2"
        while True:
            if body and (room := min(http.local_flow_control_window(1), http.max_outbound_frame_size, len(body))):
                http.send_data(1, body[:room], end_stream=room == len(body))
                body = body[room:]
                line.sendall(http.data_to_send())
                continue
            line.sendall(http.data_to_send())
            read = line.recv(1 << 16)
            assert read, "the connection was closed"
            for event in http.receive_data(read):
                assert not isinstance(event, h2.events.StreamReset), event
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    received += event.data
                    http.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    return status, bytes(received)
