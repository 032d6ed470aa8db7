"""Starts a real SeaweedFS, a KMS and tidegate on free loopback ports, and ends them again.

The black-box tests and the demo share this package. It knows how each program is started and asked whether it
is ready, how to write objects through the S3 gateway, and how to read raw HTTP answers. It knows nothing of
pytest, and nothing of what the answers should be.
"""

from .cluster import Cluster, Front
from .kek import Kek
from .kms import Kms
from .payload import Payload
from .process import Process, ProcessFailed
from .s3 import CustomerKey, Encryption, S3
from .tidegate import Tidegate
from .transit import Transit
from .wire import Answer, open_stream, request

__all__ = [
    "Answer",
    "Cluster",
    "CustomerKey",
    "Encryption",
    "Front",
    "Kek",
    "Kms",
    "Payload",
    "Process",
    "ProcessFailed",
    "S3",
    "Tidegate",
    "Transit",
    "open_stream",
    "request",
]
