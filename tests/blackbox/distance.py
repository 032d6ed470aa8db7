"""A cluster whose volume server is far away: every byte to and from it is held back by a relay."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Cluster, Front, Kms
from harness.relay import Behaviour

CHUNK = 1 << 20


@contextmanager
def distant_cluster(root: Path, kms: Kms) -> Iterator[tuple[Front, Behaviour]]:
    """A front with chunks of 1 MiB, and what the relay in front of its volume server does. Starts without delay."""
    behaviour = Behaviour()
    cluster = Cluster(root, kms=kms, volume_relay=behaviour)
    try:
        cluster.start()
        yield cluster.add_front("1mb", maxMB=1), behaviour
    finally:
        cluster.stop()
