"""The filer's gRPC, its messages made and read field by field. The numbers of fields are those of weed/pb/filer.proto.

gRPC has threads: who imports this starts no servers afterwards, since a fork does not take them along.
"""

import os
from collections.abc import Iterable

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # the harness forks to start servers, and grpc must not care
import grpc  # noqa: E402

from .protobuf import Field, fields_of, message, message_in  # noqa: E402


class FilerGrpc:
    """A filer at host:grpcPort."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def call(self, method: str, sent: bytes) -> bytes:
        """Calls a method of `filer_pb.SeaweedFiler`."""
        return self._channel.unary_unary(f"/filer_pb.SeaweedFiler/{method}")(sent, timeout=20)

    def entry(self, path: str) -> list[Field]:
        """The fields of an entry."""
        directory, _, name = path.rpartition("/")
        answer = self.call("LookupDirectoryEntry", message((1, directory), (2, name)))
        return list(fields_of(message_in(answer, 1)))

    def update(self, path: str, entry: Iterable[Field]) -> None:
        """Puts these fields in the place of an entry's."""
        self.call("UpdateEntry", message((1, path.rpartition("/")[0]), (2, message(*entry))))
