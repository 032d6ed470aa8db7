"""The objects that are asked for, and the policies that say who may have them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from botocore.exceptions import ClientError
from harness import CustomerKey, Encryption, Front, Payload
from harness.s3 import sse_arguments

KEY = CustomerKey.from_seed("of the shelf")
OTHER_KEY = CustomerKey.from_seed("of somebody else")


def principal(name: str) -> dict[str, str]:
    """One person, as policies name people."""
    return {"AWS": f"arn:aws:iam::000000000000:user/{name}"}


@dataclass(frozen=True)
class Thing:
    """An object."""

    bucket: str
    key: str
    encryption: Encryption
    payload: Payload
    tags: str = ""

    @property
    def target(self) -> str:
        """Its path."""
        return f"/{self.bucket}/{self.key}"

    @property
    def headers(self) -> dict[str, str]:
        """What a read must bring."""
        return KEY.headers() if self.encryption is Encryption.SSE_C else {}

    def put(self, front: Front) -> None:
        """Writes it at the gateway."""
        sse = sse_arguments(self.encryption, customer_key=KEY, kms_key_id=front.kms.key_id)  # type: ignore[union-attr]
        tagging = {"Tagging": self.tags} if self.tags else {}
        front.s3.put(self.bucket, self.key, self.payload.bytes(), **sse, **tagging)


def shelf(bucket: str, keys: Iterable[str], tags: str = "") -> list[Thing]:
    """One object of every encryption under each of the keys; plain ones are large enough to be served."""
    sizes = {Encryption.NONE: (1 << 20) + 7}
    return [
        Thing(bucket, f"{key}/{encryption.value}", encryption, Payload(f"{bucket}{key}", sizes.get(encryption, 3000)), tags)
        for key in keys
        for encryption in Encryption
    ]


def put_mine_and_theirs(front: Front, bucket: str) -> list[Thing]:
    """A bucket of its own with what somebody may read and with what he may not. Answers the former."""
    front.s3.create_bucket(bucket)
    mine = shelf(bucket, ["mine"])
    for thing in (*mine, *shelf(bucket, ["theirs"])):
        thing.put(front)
    return mine


def set_policy(client, bucket: str, *statements: dict[str, object]) -> None:
    """Makes these the policy of the bucket; none: it has none."""
    if statements:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
        return
    try:
        client.delete_bucket_policy(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise


def allow(bucket: str, prefix: str = "", who: object = "*", **condition: object) -> dict[str, object]:
    """A statement that lets read."""
    return _statement("Allow", bucket, prefix, who, condition)


def deny(bucket: str, prefix: str = "", who: object = "*", **condition: object) -> dict[str, object]:
    """A statement that forbids to."""
    return _statement("Deny", bucket, prefix, who, condition)


def _statement(effect: str, bucket: str, prefix: str, who: object, condition: dict[str, object]) -> dict[str, object]:
    statement: dict[str, object] = {
        "Effect": effect,
        "Principal": who,
        "Action": ["s3:GetObject", "s3:GetObjectVersion"],
        "Resource": f"arn:aws:s3:::{bucket}/{prefix}*",
    }
    if condition:
        statement["Condition"] = condition
    return statement
