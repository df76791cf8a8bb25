# SPDX-License-Identifier: Apache-2.0
"""Rate limiting by librlcore: in shared memory, or in Redis across machines.

    limiter = rlcore.Limiter("redis://localhost/0", policies={"api": "10/s,1000/h burst=20"})
    decision = limiter.check("alice", "api")
    if not decision.allowed:
        print("wait", decision.retry_after, "seconds")

A policy means the same here as in Apache (mod_ratelimit_redis), in C and in PHP, and limits of one
name are one counter in all of them.
"""

from . import testing
from ._errors import (ClosedError, Error, ForeignError, FullError, InvalidError, LostError,
                      OutOfMemoryError, PolicyError, RateLimited, StoreError, SystemCallError,
                      UnsupportedError, URLError)
from ._http import Refusal, acl, address_key, fields, partition, refusal
from ._index import Entry
from ._lease import Lease
from ._limiter import Limiter, Stats
from ._policy import Ban, Key, Limit, Policy, Rate
from ._rlcore import Decision, Result, rlc_version as _version
from .asgi import ASGI
from .wsgi import WSGI

__version__: str = _version()

__all__ = [
    "ASGI", "Ban", "ClosedError", "Decision", "Entry", "Error", "ForeignError", "FullError", "InvalidError", "Key",
    "Lease", "Limit", "Limiter", "LostError", "OutOfMemoryError", "Policy", "PolicyError", "Rate",
    "RateLimited", "Refusal", "Result", "Stats", "StoreError", "SystemCallError", "URLError",
    "UnsupportedError", "WSGI", "acl", "address_key", "fields", "partition", "refusal",
    "testing",
]
