"""nginx as people put it in front: a cache that goes by what answers say of themselves."""

from pathlib import Path

from .listener import Listener, installed
from .ports import HOST, free_port

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
    """The program."""
    return installed("nginx", "nginx-light")


class Nginx(Listener):
    """An nginx that keeps every answer of `upstream` for ten minutes, unless the answer says otherwise."""

    def __init__(self, root: Path, upstream: str) -> None:
        root.mkdir(parents=True)
        self.port = free_port()
        configuration = root / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(root=root, host=HOST, port=self.port, upstream=upstream))
        argv = [nginx_binary(), "-p", root, "-c", configuration, "-e", "stderr"]
        super().__init__("nginx", argv, root / "nginx.log")
