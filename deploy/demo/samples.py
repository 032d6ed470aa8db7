"""The objects of the demo: plain and of each encryption, written by one PUT and in parts."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness import CustomerKey, Encryption, Front, Kms, Payload
from harness.s3 import sse_arguments

MIB = 1 << 20
SIZE = 64 * MIB
PART = 8 * MIB
ODD = 4_321
"""So that neither the last chunk nor the last part is a full one."""

BUCKET = "demo"
CUSTOMER_KEY = CustomerKey.from_seed("the customer's own key")


@dataclass(frozen=True)
class Sample:
    """One object and what is in it."""

    name: str
    encryption: Encryption
    multipart: bool

    @property
    def payload(self) -> Payload:
        """What is in it."""
        return Payload(self.name, SIZE + ODD)

    @property
    def key_headers(self) -> dict[str, str]:
        """What a reader must bring."""
        return CUSTOMER_KEY.headers() if self.encryption is Encryption.SSE_C else {}

    def upload(self, front: Front, kms: Kms) -> None:
        """Writes it through the S3 gateway."""
        sse = sse_arguments(self.encryption, customer_key=CUSTOMER_KEY, kms_key_id=kms.key_id)
        content = self.payload.bytes()
        if self.multipart:
            parts = [content[at : at + PART] for at in range(0, len(content), PART)]
            front.s3.put_multipart(BUCKET, self.name, parts, **sse)
        else:
            front.s3.put(BUCKET, self.name, content, **sse)


def samples() -> Iterator[Sample]:
    """All of them, in the order of the table."""
    for encryption in Encryption:
        for multipart in (False, True):
            yield Sample(f"{encryption.title.lower()}{'-parts' if multipart else ''}", encryption, multipart)
