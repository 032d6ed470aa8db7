"""Free TCP ports on 127.0.0.1.

SeaweedFS listens for gRPC on its HTTP port + 10000 unless told otherwise, so a weed process needs two free ports.
Both are taken from below 32768, where Linux hands out no ephemeral ports: a port found free here is not given to
some outgoing connection before its owner binds it.
"""

import random
import socket

HOST = "127.0.0.1"
GRPC_OFFSET = 10_000

_FIRST, _LAST = 10_100, 22_700
_handed_out: set[int] = set()


def _is_free(port: int) -> bool:
    """Whether nobody listens on the port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_port(*, with_grpc: bool = False) -> int:
    """A port nobody listens on and this process has not handed out before.

    With `with_grpc` the port 10000 above it is free as well, and is set aside together with it.
    """
    for _ in range(2_000):
        port = random.randint(_FIRST, _LAST)
        wanted = [port, port + GRPC_OFFSET] if with_grpc else [port]
        if any(p in _handed_out for p in wanted) or not all(_is_free(p) for p in wanted):
            continue
        _handed_out.update(wanted)
        return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST} on {HOST}")
