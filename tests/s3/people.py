"""Who asks: the identities of the gateway, and some that it does not know."""

from dataclasses import dataclass

from harness.s3 import ACCESS_KEY, SECRET_KEY

# What the gateway is told of (`-domainName`), and what it is not.
DOMAIN = "s3.example.org"
NO_DOMAIN = "elsewhere.example.org"


@dataclass(frozen=True)
class Person:
    """Somebody with an access key."""

    name: str
    access_key: str
    secret_key: str


ADMIN = Person("admin", ACCESS_KEY, SECRET_KEY)
READER = Person("reader", "reader-access", "reader-secret")
NOBODY = Person("nobody", "nobody-access", "nobody-secret")
FORGER = Person("forger", READER.access_key, "not the reader's secret")
STRANGER = Person("stranger", "stranger-access", "stranger-secret")

# The buckets that the reader may read by its identity. The others are read by policies only.
READABLE = ("objects", "versions")


def _identity(person: Person, actions: list[str]) -> dict[str, object]:
    credentials = [{"accessKey": person.access_key, "secretKey": person.secret_key}]
    return {"name": person.name, "credentials": credentials, "actions": actions}


IDENTITIES = [
    _identity(READER, [f"{action}:{bucket}" for bucket in READABLE for action in ("Read", "List")]),
    _identity(NOBODY, []),
]
