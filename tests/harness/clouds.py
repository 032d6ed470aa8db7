"""Google Cloud KMS and Azure Key Vault, as far as tidegate asks them: login, decrypt, refusals on demand.

One server in a thread for each. Keys are this process's; envelopes are made by asking the server itself (`wrap`).
Statuses, codes and field names are those of the real services' documentation: neither can be had for tests.
"""

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .ports import HOST

CLIENT_SECRET = "client-secret-of-tidegate~&="


class Refused(Exception):
    """A refusal: status and body."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Cloud:
    """What both have in common: tokens that end, faults on demand, a count of who asked for what."""

    kind = ""

    def __init__(self) -> None:
        self.fault: Refused | None = None
        """What `decrypt` is answered with instead of a key."""
        self.lifetime = 3600
        """Seconds that tokens last from now on."""
        self.tokens: dict[str, float] = {}
        self.asked: list[str] = []
        """`login` and `decrypt`, in the order in which they were asked for."""
        self._server = _Server((HOST, 0), _Api)
        self._server.cloud = self

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Starts it."""
        threading.Thread(target=self._server.serve_forever, name=self.kind, daemon=True).start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Behaves well again, and forgets who asked for what and which tokens it gave."""
        self.fault, self.lifetime = None, 3600
        self.tokens.clear()
        self.asked.clear()

    def grant(self) -> dict[str, object]:
        """A token, as the answer to a login has it."""
        self.asked.append("login")
        token = "token." + secrets.token_urlsafe(24)
        self.tokens[token] = time.monotonic() + self.lifetime
        return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def authorized(self, header: str) -> bool:
        """Whether a request brings a token that still lasts."""
        return self.tokens.get(header.removeprefix("Bearer "), 0) > time.monotonic()

    def handle(self, path: str, query: str, headers: Message, body: bytes) -> dict[str, object]:
        """The answer to a request. Raises Refused."""
        raise NotImplementedError


class GoogleKms(Cloud):
    """Google Cloud KMS and the token endpoint of a service account."""

    kind = "gcp"
    name = "projects/tests/locations/global/keyRings/ring/cryptoKeys/key"

    def __init__(self) -> None:
        super().__init__()
        self._key = AESGCM(secrets.token_bytes(32))
        self._account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.private_key = self._account.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def wrap(self, plain: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """The key's id as `encrypt` answers it, and the wrapped key."""
        aad = "&".join(f"{key}={value}" for key, value in context.items()).encode()
        nonce = secrets.token_bytes(12)
        return f"{self.name}/cryptoKeyVersions/1", nonce + self._key.encrypt(nonce, plain, aad)

    def account(self, root: Path) -> Path:
        """The service account's file."""
        file = root / "account.json"
        account = {
            "type": "service_account",
            "client_email": "tidegate@tests.iam",
            "private_key_id": "1",
            "private_key": self.private_key,
            "token_uri": f"{self.address}/token",
        }
        file.write_text(json.dumps(account))
        return file

    def handle(self, path: str, query: str, headers: Message, body: bytes) -> dict[str, object]:
        if path == "/token":
            self._check(parse_qs(body.decode())["assertion"][0])
            return self.grant()
        if not self.authorized(headers.get("Authorization", "")):
            raise self.refused(401, "UNAUTHENTICATED")
        self.asked.append("decrypt")
        if self.fault:
            raise self.fault
        if path != f"/v1/{self.name}:decrypt":
            raise self.refused(404, "NOT_FOUND")
        given = json.loads(body)
        sealed = base64.b64decode(given["ciphertext"], validate=True)
        aad = base64.b64decode(given.get("additionalAuthenticatedData", ""), validate=True)
        if given["ciphertextCrc32c"] != str(crc32c(sealed)):
            raise self.refused(400, "INVALID_ARGUMENT")
        try:
            plain = self._key.decrypt(sealed[:12], sealed[12:], aad)
        except InvalidTag:
            raise self.refused(400, "INVALID_ARGUMENT") from None
        return {"plaintext": base64.b64encode(plain).decode(), "plaintextCrc32c": str(crc32c(plain))}

    def _check(self, assertion: str) -> None:
        signed, _, signature = assertion.rpartition(".")
        padded = [part + "=" * (-len(part) % 4) for part in (signed.split(".")[1], signature)]
        claims, raw = json.loads(base64.urlsafe_b64decode(padded[0])), base64.urlsafe_b64decode(padded[1])
        try:
            self._account.public_key().verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Refused(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}) from None
        assert claims["aud"] == f"{self.address}/token" and claims["exp"] > time.time() > claims["iat"] - 10

    @staticmethod
    def refused(status: int, word: str) -> Refused:
        """A refusal as Google's services write it."""
        return Refused(status, {"error": {"code": status, "message": "as the test wants it", "status": word}})


class KeyVault(Cloud):
    """An Azure Key Vault and the login endpoint of its tenant."""

    kind = "azure"

    def __init__(self) -> None:
        super().__init__()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)

    @property
    def key_id(self) -> str:
        """The key's id, as the service answers it."""
        return f"{self.address}/keys/key/0123abcd"

    def wrap(self, plain: bytes, context: Mapping[str, str]) -> tuple[str, bytes]:
        """The key's id as `encrypt` answers it, and the wrapped key. RSA knows no context."""
        return self.key_id, self._key.public_key().encrypt(plain, self._oaep)

    def handle(self, path: str, query: str, headers: Message, body: bytes) -> dict[str, object]:
        if path == "/tenant/oauth2/v2.0/token":
            given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if (given["client_id"], given["client_secret"]) != ("client", CLIENT_SECRET):
                said = "AADSTS7000215: Invalid client secret provided."
                raise Refused(401, {"error": "invalid_client", "error_description": said})
            assert given["grant_type"] == "client_credentials" and given["scope"].endswith("/.default")
            return self.grant()
        if not self.authorized(headers.get("Authorization", "")):
            raise self.refused(401, "Unauthorized")
        self.asked.append("decrypt")
        if self.fault:
            raise self.fault
        if (path, query) != ("/keys/key/0123abcd/decrypt", "api-version=7.4"):
            raise self.refused(404, "KeyNotFound")
        given = json.loads(body)
        assert given["alg"] == "RSA-OAEP-256"
        sealed = base64.urlsafe_b64decode(given["value"] + "=" * (-len(given["value"]) % 4))
        try:
            plain = self._key.decrypt(sealed, self._oaep)
        except ValueError:
            raise self.refused(400, "BadParameter") from None
        return {"kid": self.key_id, "value": base64.urlsafe_b64encode(plain).rstrip(b"=").decode()}

    @staticmethod
    def refused(status: int, code: str, inner: str = "") -> Refused:
        """A refusal as Key Vault writes it."""
        error: dict[str, object] = {"code": code, "message": "as the test wants it"}
        return Refused(status, {"error": {**error, "innererror": {"code": inner}} if inner else error})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    cloud: Cloud


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """All that is asked is posted."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        try:
            status, answer = 200, self.server.cloud.handle(parts.path, parts.query, self.headers, body)
        except Refused as refused:
            status, answer = refused.status, refused.body
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: tests ask the server itself."""


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
