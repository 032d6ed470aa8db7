"""A SeaweedFS whose servers ask who one is: signing keys, TLS, or both, in one `security.toml` for all of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import toml
from .authority import Authority
from .cluster import Cluster, Front
from .kms import Kms

FILER_READ_KEY = "filer read key"
FILER_WRITE_KEY = "filer write key"
VOLUME_READ_KEY = "volume read key"
VOLUME_WRITE_KEY = "volume write key"


def signing_keys(volume_lifetime: int = 60) -> dict[str, object]:
    """The `jwt` table with all four keys."""
    return {
        "jwt": {
            "signing": {
                "key": VOLUME_WRITE_KEY,
                "read": {"key": VOLUME_READ_KEY, "expires_after_seconds": volume_lifetime},
            },
            "filer_signing": {"key": FILER_WRITE_KEY, "read": {"key": FILER_READ_KEY}},
        }
    }


def tls(authority: Authority) -> dict[str, object]:
    """The `grpc` and `https` tables: everybody shows a certificate to everybody."""
    cert, key = map(str, authority.issue("server"))
    pair = {"cert": cert, "key": key}
    https = {**pair, "ca": str(authority.ca)}
    servers = ("master", "volume", "filer", "s3")
    # gRPC's certificate names no host: weed does not look for one.
    nameless = dict(zip(("cert", "key"), map(str, authority.issue("nameless", hosts=False)), strict=True))
    return {
        "grpc": {"ca": str(authority.ca), **{name: nameless for name in (*servers, "client")}},
        "https": {"client": {"enabled": True, **https}, **{name: https for name in servers if name != "s3"}},
    }


class SecuredCluster(Cluster):
    """A cluster under `security`, which is what `security.toml` says."""

    def __init__(self, root: Path, security: dict[str, object], *, kms: Kms | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.security_toml = root / "security.toml"
        self.security_toml.write_text(toml.dumps(security))
        self.scheme = "https" if "https" in security else "http"
        super().__init__(root, kms=kms)
        for server in (self.master, *self.volumes):
            server.scheme = self.scheme

    @property
    def front(self) -> Front:
        """Its one filer and gateway."""
        return self.fronts["secured"]


@contextmanager
def secured_cluster(root: Path, security: dict[str, object], kms: Kms) -> Iterator[SecuredCluster]:
    """A cluster under `security` with a front in chunks of 1 MiB, running."""
    cluster = SecuredCluster(root, security, kms=kms)
    try:
        cluster.start()
        cluster.add_front("secured", maxMB=1)
        yield cluster
    finally:
        cluster.stop()


def security_of(front: Front) -> dict[str, object]:
    """What points tidegate at the cluster's own file."""
    return {"filer": {"security_toml": str(front.filer.log.parent.parent / "security.toml")}}
