"""Clusters that faults are put into: their volume servers are reached through lines that can be slowed, cut and spoilt."""

from dataclasses import dataclass

from catalogue import MIB, Catalogue, Object
from harness import Cluster, Encryption, Front
from harness.relay import Behaviour

SIZE = 16 * MIB
FETCH_PACE = 2 * MIB
"""Bytes per second of one connection to a volume server, so that fetches take long enough to be hit."""
CLIENT_PACE = 4 * MIB
"""Bytes per second of one client."""
SMALL_MEMORY = {"prefetch": {"memory": "32MiB"}}
"""Less than what eight downloads ask for, so that nobody is whole in memory when the fault comes."""


@dataclass
class Breakable:
    """A cluster with a front for each size of chunks, and the line to each volume server."""

    cluster: Cluster
    fronts: dict[int, Front]
    lines: list[Behaviour]

    @classmethod
    def started(cls, cluster: Cluster, lines: list[Behaviour]) -> "Breakable":
        """Starts everything, with chunks of 1 and of 4 MiB."""
        cluster.start()
        return cls(cluster, {size: cluster.add_front(f"{size}mb", maxMB=size) for size in (1, 4)}, lines)

    def slow_down(self) -> None:
        """Makes every line to a volume server slow enough for a fault to hit fetches that run."""
        for line in self.lines:
            line.pace = FETCH_PACE

    def mend(self) -> None:
        """Everything works again."""
        for line in self.lines:
            line.calm()
        for index, server in enumerate(self.cluster.volumes):
            if not server.running:
                self.cluster.revive_volume(index)

    def eight(self, objects: Catalogue, chunk: int = 4) -> list[Object]:
        """Eight objects with chunks of that many MiB, four plain and four SSE-C, no two alike."""
        kinds = (Encryption.NONE, Encryption.SSE_C)
        wanted = [(kind, number) for number in range(4) for kind in kinds]
        return [objects.sized(self.fronts[chunk], kind, SIZE + number, f"of-eight-{number}") for kind, number in wanted]
