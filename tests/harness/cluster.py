"""A SeaweedFS of its own: a master, volume servers, and fronts (a filer with an S3 gateway on it)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import weed, wire
from .kek import FILER_PATH, Kek
from .kms import Kms
from .transit import Transit
from .process import stop_together
from .relay import Behaviour, Relay
from .s3 import ACCESS_KEY, SECRET_KEY, S3

ANNOUNCED = "127.0.0.2"
BOUND = "127.0.0.3"


class Front:
    """One filer and the S3 gateway on it. Fronts of a cluster share the volume servers and nothing else."""

    def __init__(
        self, name: str, filer: weed.WeedServer, gateway: weed.WeedServer, cluster: "Cluster", kek: Kek
    ) -> None:
        self.name = name
        self.filer = filer
        self.gateway = gateway
        self.kek = kek
        self.cluster = cluster
        self.kms = cluster.kms
        self.master_url = cluster.master.url
        self.s3 = S3(gateway.url)

    def filer_url(self, bucket: str, key: str) -> str:
        """Where the filer has an object."""
        return f"{self.filer.url}/buckets/{bucket}/{key}"

    def gateway_url(self, bucket: str, key: str) -> str:
        """Where the S3 gateway has an object. It may be read without a signature."""
        return f"{self.gateway.url}/{bucket}/{key}"

    def chunks(self, path: str) -> list[dict[str, Any]]:
        """The chunks of a file, as the filer lists them."""
        chunks: list[dict[str, Any]] = json.loads(wire.request("GET", f"{self.filer.url}{path}?metadata=true").body)["chunks"]
        return chunks

    def start(self) -> None:
        """Starts both and waits until they answer."""
        self.filer.start()
        self.filer.wait_ready(lambda: weed.answers(self.filer.url + "/"))
        if self.kek.filer_file:
            self.write_kek(self.kek.filer_file)
        self.start_gateway()

    def start_gateway(self) -> None:
        """Starts the gateway and waits until it answers. It reads its key only then."""
        self.gateway.start()
        self.gateway.wait_ready(lambda: weed.answers(self.gateway.url + "/healthz"))

    def write_kek(self, text: str) -> None:
        """Writes the file that the SSE-S3 key is in."""
        self._put_inside(FILER_PATH, text.encode())

    def tidegate_config(self, managed_keys: str = "any") -> dict[str, object]:
        """What tidegate needs to serve this front: the filer, and the keys that the gateway has."""
        config: dict[str, object] = {
            "filer": {"addresses": [self.filer.address]},
            "access": {"managed_keys": managed_keys},
        }
        if self.kek.tidegate:
            config["sse_s3"] = self.kek.tidegate
        if self.kms is not None:
            config["kms"] = self.kms.tidegate_block()
        return config

    def _put_inside(self, path: str, content: bytes) -> None:
        """Writes a file whose content is inside its entry: the gateway reads its key in no other form."""
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        body = head + content + b"\r\n--b--\r\n"
        answer = wire.request("POST", f"{self.filer.url}{path}?saveInside=true", headers, body)
        if answer.status != 201:
            raise RuntimeError(f"the filer answered {answer.status} to a POST of {path}: {answer.body!r}")


class Cluster:
    """The whole of it, in one directory.

    `volumes` servers, each in a rack of its own; `replication` as weed writes it (`000` one copy, `010` a second one in
    another rack). Fronts are added to a running cluster. With `volume_relay` the volume servers are reached only
    through relays that behave like that: all like one, or each like its own.
    `relay` makes the one for HTTP out of where to listen, where to go, and its behaviour. `volume_options` are more options of `weed volume`.
    `identities` of the gateways come beside the administrator, in the place of an anonymous one that may read all.
    With `data_centers`, volume server number n is in the data center `dcn`, and `100` keeps a second copy in another one.
    """

    scheme = "http"  # of all but the gateways

    def __init__(
        self,
        root: Path,
        *,
        volumes: int = 1,
        replication: str = "000",
        kms: Kms | Transit | None = None,
        volume_relay: Behaviour | Sequence[Behaviour] | None = None,
        relay: Callable[[tuple[str, int], tuple[str, int], Behaviour], Relay] = Relay,
        volume_options: dict[str, object] | None = None,
        data_centers: bool = False,
        identities: Sequence[dict[str, object]] | None = None,
    ) -> None:
        self.root = root
        self.kms = kms
        self.replication = replication
        root.mkdir(parents=True, exist_ok=True)
        self.master = weed.master(root, {"defaultReplication": replication}, {})
        shared = isinstance(volume_relay, Behaviour)
        self._behaviours = [volume_relay] * volumes if shared else volume_relay
        self._relay = relay
        self._volume_options = volume_options or {}
        self._data_centers = data_centers
        self._identities = identities
        self._relays: list[Relay] = []
        self.volumes = [self._volume(index) for index in range(volumes)]
        self.fronts: dict[str, Front] = {}

    def start(self) -> None:
        """Starts the master and the volume servers and waits until they know each other."""
        self.master.start()
        self.master.wait_ready(lambda: weed.answers(self.master.url + "/dir/status"))
        for server in self.volumes:
            server.start()
        for server in self.volumes:
            server.wait_ready(lambda server=server: weed.answers(server.url + "/status"))
        self.master.wait_ready(lambda: weed.volumes_known(self.master.url, len(self.volumes)))

    def add_front(
        self,
        name: str,
        *,
        kek: Kek | None = None,
        gateway: dict[str, object] | None = None,
        filer_env: dict[str, str] | None = None,
        **filer_options: object,
    ) -> Front:
        """Starts a filer with these options (`maxMB=1`) and this environment, and a gateway with the options of `gateway`
        that wraps its SSE-S3 keys as `kek` says."""
        kek = kek or Kek.from_key("a secret of this cluster")
        filer = weed.filer(self.root, f"filer-{name}", self.master.full_address, filer_options, filer_env or {})
        filer.scheme = self.scheme
        options = gateway or {}
        server = weed.s3(self.root, f"s3-{name}", filer.full_address, self._iam(), options, kek.gateway_env)
        front = Front(name, filer, server, self, kek)
        self.fronts[name] = front
        front.start()
        return front

    def kill_volume(self, index: int) -> None:
        """SIGKILL to a volume server. Its relay takes nothing more, and what is still on the line is lost."""
        self.volumes[index].kill()
        for relay in self._relays_of(index):
            relay.drop()

    def freeze_volume(self, index: int) -> int:
        """Nothing comes any more over the connections that are open to a volume server, and nobody says so; new ones are
        served. Answers how many there are."""
        return self._relays_of(index)[0].freeze()

    def revive_volume(self, *indexes: int) -> None:
        """Starts volume servers that were killed, and waits until the master knows them again."""
        for index in indexes:
            for relay in self._relays_of(index):
                relay.resume()
            self.volumes[index].start()
        for index in indexes:
            server = self.volumes[index]
            server.wait_ready(lambda server=server: weed.answers(server.url + "/status"))
        self.master.wait_ready(lambda: weed.volumes_known(self.master.url, len(self.volumes)))

    def stop(self) -> None:
        """Ends everything. What it stored is not needed again, so nobody is given time to say goodbye."""
        servers = [server for front in self.fronts.values() for server in (front.gateway, front.filer)]
        stop_together([*servers, *self.volumes, self.master], grace=0.5)
        for relay in self._relays:
            relay.stop()

    def _volume(self, index: int) -> weed.WeedServer:
        """A volume server. Behind a relay it listens on one loopback address and announces another, the relay's."""
        master = self.master.full_address
        where = {"dataCenter": f"dc{index}"} if self._data_centers else {}
        if self._behaviours is None:
            return weed.volume(self.root, index, master, {**where, **self._volume_options}, {})
        options = {"ip": ANNOUNCED, "ip.bind": BOUND, **where, **self._volume_options}
        server = weed.volume(self.root, index, master, options, {})
        server.host = ANNOUNCED
        behaviour = self._behaviours[index]
        self._relays.append(self._relay((ANNOUNCED, server.port), (BOUND, server.port), behaviour))
        self._relays.append(Relay((ANNOUNCED, server.grpc_port), (BOUND, server.grpc_port)))
        return server

    def _relays_of(self, index: int) -> list[Relay]:
        """The relays of a volume server: HTTP and gRPC. None without `volume_relay`."""
        return self._relays[2 * index : 2 * index + 2]

    def _iam(self) -> dict[str, object]:
        """One identity that may do all, and others. By default anyone may read: tests compare unsigned requests with
        tidegate's."""
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        admin = {"name": "admin", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        anyone = [{"name": "anonymous", "actions": ["Read"]}]
        others = anyone if self._identities is None else self._identities
        iam: dict[str, object] = {"identities": [admin, *others]}
        if self.kms is not None:
            iam["kms"] = self.kms.gateway_block()
        return iam
