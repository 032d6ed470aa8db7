"""nginx as people put it in front: a cache that goes by what answers say of themselves."""

import os
import shutil
import socket
from pathlib import Path

from .ports import HOST, free_port
from .process import Process, ProcessFailed

_CONFIGURATION = """
daemon off;
master_process off;
pid {root}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  proxy_cache_path {root}/cache keys_zone=all:1m;
  server {{
    listen {host}:{port};
    location / {{
      proxy_pass {upstream};
      proxy_cache all;
      proxy_cache_valid any 10m;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""


def nginx_binary() -> str:
    """The program. Debian has it where not everybody's PATH leads."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if found := shutil.which("nginx", path=path):
        return found
    raise ProcessFailed("no nginx: install it (Debian, Ubuntu: apt install nginx-light)")


class Nginx(Process):
    """An nginx that keeps every answer of `upstream` for ten minutes, unless the answer says otherwise."""

    def __init__(self, root: Path, upstream: str) -> None:
        root.mkdir(parents=True)
        self.port = free_port()
        configuration = root / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(root=root, host=HOST, port=self.port, upstream=upstream))
        argv = [nginx_binary(), "-p", root, "-c", configuration, "-e", "stderr"]
        super().__init__("nginx", argv, root / "nginx.log")

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        super().start()
        self.wait_ready(self._listens)

    def _listens(self) -> bool:
        with socket.create_connection((HOST, self.port), timeout=2):
            return True
