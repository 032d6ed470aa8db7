"""The keys that clients bring: the right one, another, a part of one, and one for an object that has none."""

import base64
import hashlib

import pytest

from harness import Encryption
from harness.line import Pair, Request
from harness.sigv import presigned, signed
from objects import CUSTOMER_KEY, WRONG_KEY, Writer
from people import ADMIN, NOBODY
from sides import Sides

ALGORITHM, KEY, MD5 = CUSTOMER_KEY.headers().items()


def _with(*, algorithm: str = "AES256", key: str = CUSTOMER_KEY.base64, md5: str = CUSTOMER_KEY.md5) -> tuple[Pair, ...]:
    return (ALGORITHM[0], algorithm), (KEY[0], key), (MD5[0], md5)


def _md5(raw: bytes) -> str:
    return base64.b64encode(hashlib.md5(raw).digest()).decode()


SHORT = b"sixteen bytes..!"
BROUGHT: dict[str, tuple[Pair, ...]] = {
    "none": (),
    "right": _with(),
    "another": tuple(WRONG_KEY.headers().items()),
    "key-of-another-md5": _with(md5=WRONG_KEY.md5),
    "another-key-under-this-md5": _with(key=WRONG_KEY.base64),
    "no-key": (ALGORITHM, MD5),
    "no-md5": (ALGORITHM, KEY),
    "no-algorithm": (KEY, MD5),
    "only-algorithm": (ALGORITHM,),
    "other-algorithm": _with(algorithm="AES128"),
    "algorithm-in-small-letters": _with(algorithm="aes256"),
    "short": _with(key=base64.b64encode(SHORT).decode(), md5=_md5(SHORT)),
    "long": _with(key=base64.b64encode(SHORT * 3).decode(), md5=_md5(SHORT * 3)),
    "no-base64": _with(key="not base64!"),
    "base64-of-the-url": _with(key=CUSTOMER_KEY.base64.replace("/", "_").replace("+", "-").rstrip("=")),
    "spaces": _with(key=f" {CUSTOMER_KEY.base64} "),
    "empty": _with(algorithm="", key="", md5=""),
    "twice": (*_with(), *WRONG_KEY.headers().items()),
    "of-the-copy-source": tuple(
        (name.replace("X-Amz-", "X-Amz-Copy-Source-"), value) for name, value in CUSTOMER_KEY.headers().items()
    ),
    "demanded-encryption": (("x-amz-server-side-encryption", "AES256"),),
    "demanded-kms": (("x-amz-server-side-encryption", "aws:kms"), ("x-amz-server-side-encryption-aws-kms-key-id", "other")),
}
OTHERS: list[tuple[Pair, ...]] = [
    (),
    (("Range", "bytes=10-99"),),
    (("Range", "bytes=99999999-"),),
    (("If-None-Match", "*"),),
    (("If-Match", '"other"'),),
]


@pytest.mark.parametrize("brought", BROUGHT.values(), ids=BROUGHT)
@pytest.mark.parametrize("encryption", Encryption, ids=lambda encryption: encryption.title)
@pytest.mark.parametrize("kind", ["one-chunk.html", "empty"])
def test_key(kind: str, encryption: Encryption, brought: tuple[Pair, ...], writer: Writer, sides: Sides) -> None:
    made = writer.get(kind, encryption)
    for method in ("GET", "HEAD"):
        for other in OTHERS:
            bare = Request(made.target, method, (*brought, *other))
            sides.status(signed(bare, ADMIN, sides.host))
            if not other:
                sides.status(presigned(bare, ADMIN, sides.host, also_signed=dict(bare.headers)))
                assert sides.status(signed(bare, NOBODY, sides.host)) in (400, 403)


@pytest.mark.parametrize("kind", ["many-chunks", "small.txt", "multipart"])
def test_only_the_right_key_opens(kind: str, writer: Writer, sides: Sides) -> None:
    """What the comparison above rests on."""
    made = writer.get(kind, Encryption.SSE_C)
    for name, brought in BROUGHT.items():
        answer = sides.answer(signed(Request(made.target, headers=brought), ADMIN, sides.host))
        if name in ("right", "spaces", "twice"):  # the gateway takes the first of two, and minds no blanks
            assert (answer.status, answer.body) == (200, made.content), name
        else:
            assert answer.status in (400, 403), (name, answer.status)


@pytest.mark.parametrize("encryption", [Encryption.NONE, Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_superfluous_key_is_ignored(encryption: Encryption, writer: Writer, sides: Sides) -> None:
    made = writer.get("many-chunks", encryption)
    for name in ("none", "right", "another"):
        answer = sides.answer(signed(Request(made.target, headers=BROUGHT[name]), ADMIN, sides.host))
        assert (answer.status, answer.body) == (200, made.content), name
