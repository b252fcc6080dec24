"""Everything that is in Redis now, as text: also what Celery wraps in base64."""

import base64
import binascii
import re
from typing import Any

from django.conf import settings
from redis import Redis

_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


def dump_redis() -> str:
    """Each key of the broker and of the cache with its value."""
    parts = [text for url in _addresses() for text in _read_all(Redis.from_url(url))]
    return " ".join([*parts, *(_unwrap(part) for part in parts)])


def empty_redis() -> None:
    """Nothing of other tests is in it any more."""
    for url in _addresses():
        Redis.from_url(url).flushdb()


def _addresses() -> list[str]:
    cache: Any = settings.CACHES["default"]["LOCATION"]
    return [settings.REDIS_URL, cache]


def _read_all(redis: Any) -> list[str]:
    return [f"{key!r} {_read(redis, key)!r}" for key in redis.scan_iter(count=1000)]


def _read(redis: Any, key: bytes) -> Any:
    readers = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"list": lambda name: redis.lrange(name, 0, -1),
        b"zset": lambda name: redis.zrange(name, 0, -1),
        b"none": lambda _: "",
    }
    return readers[redis.type(key)](key)


def _unwrap(text: str) -> str:
    found = []
    for each in _BASE64.findall(text):
        try:
            found.append(base64.b64decode(each, validate=True).decode(errors="replace"))
        except binascii.Error:
            continue
    return " ".join(found)
