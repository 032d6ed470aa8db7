"""Who asks: the identities of the gateway, the role of its sessions, and who may come and go."""

import json
from pathlib import Path

import boto3
from botocore.config import Config

from harness.cluster import Cluster
from harness.s3 import ACCESS_KEY, SECRET_KEY
from harness.sigv import REGION, Identity
from issuer import NAME, Issuer

DOMAIN = "s3.example.org"
"""Where the bucket is in the host."""

ADMIN = Identity("admin", ACCESS_KEY, SECRET_KEY)
READER = Identity("reader", "reader-access", "reader-secret")
"""May read and list every bucket."""
LIMITED = Identity("limited", "limited-access", "limited-secret")
"""May read what begins with `public/` in the bucket `cases`."""
NOBODY = Identity("nobody", "nobody-access", "nobody-secret")
"""Has a key and no rights but those that a bucket policy gives."""
STRANGER = Identity("stranger", "stranger-access", "stranger-secret")
"""Is unknown to the gateway."""

ROLE = "arn:aws:iam::role/Reading"
"""May read what begins with `public/` in the bucket `cases`."""

_ACTIONS = {
    ADMIN: ["Admin", "Read", "Write", "List", "Tagging"],
    READER: ["Read", "List"],
    LIMITED: ["Read:cases/public/*"],
    NOBODY: [],
}


def policy(*statements: dict[str, object]) -> str:
    """A policy as a document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class PeopledCluster(Cluster):
    """A cluster whose gateways know these people, and nobody unsigned."""

    def _iam(self) -> dict[str, object]:
        identities = [
            {
                "name": who.name,
                "credentials": [{"accessKey": who.access_key, "secretKey": who.secret_key}],
                "actions": actions,
            }
            for who, actions in _ACTIONS.items()
        ]
        assert self.kms is not None
        return {"identities": identities, "kms": self.kms.gateway_block()}


def write_roles(path: Path, issuer: Issuer) -> None:
    """Writes the gateway's `-iam.config`: one role that everybody may take, and whom that issuer names is in already."""
    may = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::cases/public/*"]}
    trust = {"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}
    web = {"Effect": "Allow", "Principal": {"Federated": NAME}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    role = {
        "roleName": "Reading",
        "roleArn": ROLE,
        "trustPolicy": json.loads(policy(trust, web)),
        "attachedPolicies": ["MayRead"],
    }
    signing_key = "YSBzaWduaW5nIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVz"
    config = {
        "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "tests", "signingKey": signing_key},
        "providers": [issuer.provider(ROLE)],
        "policy": {"defaultEffect": "Deny"},
        "roles": [role],
        "policies": [{"name": "MayRead", "document": json.loads(policy(may))}],
    }
    path.write_text(json.dumps(config))


def session(endpoint: str, who: Identity) -> Identity:
    """A session in the role, for somebody."""
    got = _client("sts", endpoint, who).assume_role(RoleArn=ROLE, RoleSessionName="tests")["Credentials"]
    return Identity("session", got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])


class Guest:
    """Somebody who may read everything, is added while the gateway runs, and whose key is taken away again."""

    def __init__(self, endpoint: str, name: str) -> None:
        self._iam = _client("iam", endpoint, ADMIN)
        self._iam.create_user(UserName=name)
        may = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::*"]}
        self._iam.put_user_policy(UserName=name, PolicyName="reads", PolicyDocument=policy(may))
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        self.identity = Identity(name, key["AccessKeyId"], key["SecretAccessKey"])

    def revoke(self) -> None:
        """Takes the key away."""
        self._iam.delete_access_key(UserName=self.identity.name, AccessKeyId=self.identity.access_key)


def s3_client(address: str, who: Identity = ADMIN, **config: object):
    """boto3 as SDKs are set today: checksums in trailers, Expect, one connection for many requests. It tries once."""
    chosen = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **config)
    return _client("s3", f"http://{address}", who, chosen)


def _client(service: str, endpoint: str, who: Identity, config: Config | None = None):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=who.access_key,
        aws_secret_access_key=who.secret_key,
        aws_session_token=who.token or None,
        config=config,
    )
