"""A transit engine as OpenBao and Vault have it, as far as the S3 gateway and tidegate use it.

Login with AppRole, renew-self, keys, encrypt, decrypt and datakey, with tokens that end, and with faults on demand:
403, 503 and slowness. It keeps who asked for what. Messages and statuses are those of the real servers.
"""

import base64
import json
import secrets
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .ports import HOST

ROLE_ID = "role-of-tidegate"
SECRET_ID = "secret-id-of-tidegate"
GATEWAY_TOKEN = "hvs.token-of-the-gateway"
KEY = "seaweed"


@dataclass
class Behaviour:
    """What the server does to requests that carry one of tidegate's tokens; the gateway is left alone."""

    denied: bool = False
    """Whether to refuse decryption with 403."""
    sealed: bool = False
    """Whether to answer everything with 503."""
    slow: float = 0.0
    """Seconds that every answer is held back."""
    token_ttl: int = 3600
    """Seconds that a token lasts, and that a renewal gives it."""
    renewable: bool = True
    """Whether renewals are granted."""


@dataclass
class _Log:
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, token) of each request that is not the gateway's."""


class Transit:
    """The server, in a thread of this process."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self._log = _Log()
        self._server = _Server(self.behaviour, self._log)

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self._server.server_port}"

    @property
    def key_id(self) -> str:
        """The key that objects are written under."""
        return KEY

    def serve_tls(self, context: ssl.SSLContext) -> str:
        """Serves the same keys over TLS too. Its URL there."""
        server = _Server(self.behaviour, self._log, like=self._server)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, name="transit-tls", daemon=True).start()
        return f"https://{HOST}:{server.server_port}"

    def start(self) -> None:
        """Starts it."""
        threading.Thread(target=self._server.serve_forever, name="transit", daemon=True).start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Behaves well again, and forgets who asked for what."""
        for name, value in vars(Behaviour()).items():
            setattr(self.behaviour, name, value)
        with self._log.lock:
            self._log.asked.clear()

    def revoke_all(self) -> None:
        """Ends every token that a login gave."""
        self._server.tokens.clear()

    def asked(self, what: str) -> int:
        """How often tidegate asked for a path with this in it: `login`, `renew-self`, `decrypt`."""
        with self._log.lock:
            return sum(1 for path, _ in self._log.asked if what in path.split("/"))

    def gateway_block(self) -> dict[str, object]:
        """The `kms` block of the S3 gateway's JSON configuration."""
        return self._block({"token": GATEWAY_TOKEN}, "openbao")

    def tidegate_block(self) -> dict[str, object]:
        """The same for tidegate, by AppRole."""
        return self._block({"role_id": ROLE_ID, "secret_id": SECRET_ID}, "vault")

    def _block(self, login: dict[str, object], kind: str) -> dict[str, object]:
        provider = {"type": kind, "address": self.address, "transit_path": "transit", **login}
        return {"default_provider": "bao", "providers": {"bao": provider}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behaviour: Behaviour, log: _Log, like: "_Server | None" = None) -> None:
        self.behaviour = behaviour
        self.log = log
        self.tokens: dict[str, float] = like.tokens if like else {}
        """Tokens that logins gave, with the time at which each ends."""
        self.keys = like.keys if like else {KEY: secrets.token_bytes(32)}
        super().__init__((HOST, 0), _Api)

    def encrypt(self, name: str, context: bytes, plain: bytes) -> str:
        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(self._derived(name, context)).encrypt(nonce, plain, None)
        return "vault:v1:" + base64.b64encode(sealed).decode()

    def decrypt(self, name: str, context: bytes, ciphertext: str) -> bytes:
        sealed = base64.b64decode(ciphertext.removeprefix("vault:v1:"), validate=True)
        return AESGCM(self._derived(name, context)).decrypt(sealed[:12], sealed[12:], None)

    def _derived(self, name: str, context: bytes) -> bytes:
        """Keys are derived from the context (`derived=true`), so that a wrong one does not open anything."""
        return HKDF(SHA256(), 32, salt=None, info=context).derive(self.keys[name])


class _Refused(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("X-Vault-Token", "")
        if token != GATEWAY_TOKEN:
            with self.server.log.lock:
                self.server.log.asked.append((self.path, token))
        try:
            said = self._handle(self.path.removeprefix("/v1/"), token, json.loads(body) if body else {})
            status, answer = 200, {"lease_id": "", "data": None, "auth": None, **said}
        except _Refused as refused:
            status, answer = refused.status, {"errors": [str(refused)]}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _handle(self, path: str, token: str, given: dict[str, str]) -> dict[str, object]:
        behaviour = self.server.behaviour
        if token != GATEWAY_TOKEN:
            time.sleep(behaviour.slow)
            if behaviour.sealed:
                raise _Refused(503, "Vault is sealed")
        if path == "auth/approle/login":
            if (given.get("role_id"), given.get("secret_id")) != (ROLE_ID, SECRET_ID):
                raise _Refused(400, "invalid role or secret ID")
            return self._granted("hvs." + secrets.token_urlsafe(24))
        if token != GATEWAY_TOKEN and self.server.tokens.get(token, 0) < time.monotonic():
            raise _Refused(403, "permission denied")
        if path == "auth/token/lookup-self":
            return {"data": {"ttl": int(self.server.tokens[token] - time.monotonic()), "policies": ["transit"]}}
        if path == "auth/token/renew-self":
            if not behaviour.renewable:
                raise _Refused(400, "lease is not renewable")
            return self._granted(token)
        return {"data": self._transit(path, token, given)}

    def _granted(self, token: str) -> dict[str, object]:
        ttl = self.server.behaviour.token_ttl
        self.server.tokens[token] = time.monotonic() + ttl
        return {"auth": {"client_token": token, "lease_duration": ttl, "renewable": True, "policies": ["transit"]}}

    def _transit(self, path: str, token: str, given: dict[str, str]) -> dict[str, object]:
        mount, _, rest = path.partition("/")
        operation, _, name = rest.partition("/")
        if mount != "transit" or operation not in ("keys", "encrypt", "decrypt", "datakey"):
            raise _Refused(404, f'no handler for route "{path}"')
        name = name.removeprefix("plaintext/")
        if name not in self.server.keys:
            raise _Refused(400, "encryption key not found")
        if operation == "keys":
            return {"name": name, "type": "aes256-gcm96", "derived": True}
        context = base64.b64decode(given.get("context", ""))
        if operation == "encrypt":
            return {"ciphertext": self.server.encrypt(name, context, base64.b64decode(given["plaintext"]))}
        if operation == "datakey":
            plain = secrets.token_bytes(32)
            wrapped = self.server.encrypt(name, context, plain)
            return {"ciphertext": wrapped, "plaintext": base64.b64encode(plain).decode()}
        if token != GATEWAY_TOKEN and self.server.behaviour.denied:
            raise _Refused(403, "permission denied")
        if not given["ciphertext"].startswith("vault:v1:"):
            raise _Refused(400, "invalid ciphertext: no prefix")
        try:
            return {"plaintext": base64.b64encode(self.server.decrypt(name, context, given["ciphertext"])).decode()}
        except InvalidTag:
            raise _Refused(400, "cipher: message authentication failed") from None

    def log_message(self, format: str, *args: object) -> None:
        """Silent: tests ask the server itself."""
