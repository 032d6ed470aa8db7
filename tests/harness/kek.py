"""Where the key that wraps SSE-S3 data keys lives: all places the S3 gateway knows, with tidegate's names."""

import hashlib
from dataclasses import dataclass, field

FILER_PATH = "/etc/s3/sse_kek"


@dataclass(frozen=True)
class Kek:
    """What each of the three is given: the gateway its environment, the filer a file, tidegate its `[sse_s3]`."""

    gateway_env: dict[str, str] = field(default_factory=dict)
    filer_file: str = ""
    tidegate: dict[str, object] = field(default_factory=dict)

    @classmethod
    def from_key(cls, secret: str) -> "Kek":
        """Any string; the key is derived from it."""
        return cls(gateway_env={"WEED_S3_SSE_KEY": secret}, tidegate={"key": secret})

    @classmethod
    def from_kek(cls, seed: str) -> "Kek":
        """The key itself, in hex."""
        kek = _hex_key(seed)
        return cls(gateway_env={"WEED_S3_SSE_KEK": kek}, tidegate={"kek": kek})

    @classmethod
    def in_filer(cls, seed: str) -> "Kek":
        """The key in hex in a file of the filer; nobody is configured with anything."""
        return cls(filer_file=_hex_key(seed))

    @classmethod
    def wrapped_in_filer(cls, seed: str, passphrase: str) -> "Kek":
        """The same under a passphrase: the gateway wraps the file it finds in plain when it starts."""
        return cls(
            gateway_env={"WEED_S3_SSE_KEK_PASSPHRASE": passphrase},
            filer_file=_hex_key(seed),
            tidegate={"kek_passphrase": passphrase},
        )


def _hex_key(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()
