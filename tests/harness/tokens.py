"""JSON web tokens, also such as no library would make."""

import base64
import hashlib
import hmac
import json

_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def base64url(data: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: str, claims: dict[str, object] | str, *, alg: str = "HS256", head: dict[str, object] | None = None) -> str:
    """A token signed with `key`. `claims` may be any text; what `alg` is not known is signed with nothing."""
    text = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{base64url(json.dumps(head or {'alg': alg, 'typ': 'JWT'}).encode())}.{base64url(text.encode())}"
    digest = _HASHES.get(alg)
    signature = hmac.new(key.encode(), signed.encode(), digest).digest() if digest else b""
    return f"{signed}.{base64url(signature)}"
