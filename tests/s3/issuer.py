"""An OpenID issuer: its keys where the gateway fetches them, and the tokens that it gives out."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness.ports import HOST

CLIENT_ID = "tests"
NAME = "harbour"
_KID = "one"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Issuer:
    """Listens on loopback and signs with a key of its own."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._key.public_key().public_numbers()
        modulus, exponent = (_base64(n.to_bytes(size, "big")) for n, size in ((numbers.n, 256), (numbers.e, 3)))
        key = {"kty": "RSA", "kid": _KID, "use": "sig", "alg": "RS256", "n": modulus, "e": exponent}
        document = json.dumps({"keys": [key]}).encode()

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer((HOST, 0), Keys)
        self.url = f"http://{HOST}:{self._server.server_port}"

    def start(self) -> None:
        """Serves the keys."""
        threading.Thread(target=self._server.serve_forever, name="issuer", daemon=True).start()

    def stop(self) -> None:
        """Serves them no more."""
        self._server.shutdown()
        self._server.server_close()

    def provider(self, role: str) -> dict[str, object]:
        """What the gateway is told: whoever shows a token of this issuer is in that role."""
        config = {
            "issuer": self.url,
            "clientId": CLIENT_ID,
            "jwksUri": f"{self.url}/keys",
            "roleMapping": {"defaultRole": role},
        }
        return {"name": NAME, "type": "oidc", "enabled": True, "config": config}

    def token(self, subject: str, *, lives: float = 600.0, audience: str = CLIENT_ID) -> str:
        """A token for somebody."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": subject, "aud": audience, "iat": now - 5, "exp": int(now + lives)}
        head = {"alg": "RS256", "typ": "JWT", "kid": _KID}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{_base64(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
