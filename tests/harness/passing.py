"""HAProxy as what stands in front of one tidegate and says whom it was asked by."""

from pathlib import Path

from .balancers import Balancer, haproxy_binary
from .ports import HOST, free_port


class Passing(Balancer):
    """HAProxy before one address, which passes on connections with a header of the PROXY protocol (`send` is `send-proxy` or
    `send-proxy-v2`), or, without that, requests."""

    def __init__(self, root: Path, address: str, send: str = "") -> None:
        root.mkdir(parents=True)
        self.port = free_port()
        configuration = root / "haproxy.cfg"
        configuration.write_text(
            f"global\n maxconn 200\n"
            f"defaults\n mode {'tcp' if send else 'http'}\n"
            f" timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"{'' if send else ' option forwardfor'}\n"
            f"listen all\n bind {HOST}:{self.port}\n server one {address} {send}\n"
        )
        super().__init__("haproxy", [haproxy_binary(), "-db", "-f", configuration], root / "haproxy.log")
