"""How is an object store reached, and what does it say, in words, when it refuses?

A place behind a URL (`s3://`, `gs://`, `az://`, `http(s)://` to read) is reached through obstore. Credentials, regions
and endpoints come from the environment, as obstore reads them, and from nowhere else. What may pass (errors of the
server, broken connections, truncated and late answers) is tried again by obstore; what does not pass is said here.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from hpss_batch.errors import StoreError, UnreachableError
from hpss_batch.paths import is_http
from hpss_batch.text import printable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Answer = TypeVar("Answer")

PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds before a call is made again whose answer broke off."""

_RETRIES: Any = {"max_retries": 8, "retry_timeout": timedelta(minutes=2)}
"""How often a request is tried again, with pauses that grow from a tenth of a second to fifteen."""

_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for a public bucket AWS_SKIP_SIGNATURE=true)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
_SCHEMES = {"s3a": "s3", "adl": "az", "azure": "az", "abfs": "az", "abfss": "az"}

_SECRET = re.compile(r"[?&][^=]*(signature|token|credential|key|sig)[^=]*=", re.IGNORECASE)
_METADATA_SERVERS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Where machines in a cloud are asked for credentials if the environment has none."""

_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")
"""What names of variables begin with that obstore reads."""


def check_url(url: str) -> None:
    """Raise `StoreError` if a URL holds a password or a signature, which records and logs would keep."""
    address = url.partition("://")[2]
    if "@" in address.partition("/")[0] and ":" in address.partition("@")[0]:
        shown = f"{url.partition('://')[0]}://…@{address.partition('@')[2]}"
    elif is_http(url) and _SECRET.search(url):
        shown = f"{url.partition('?')[0]}?…"
    else:
        return
    raise StoreError(
        f"{shown} holds a password or a signature, which records and logs would keep: give the URL without it, and "
        "credentials by the environment"
    )


def object_store(url: str) -> "ObjectStore":
    """An obstore store whose root is the URL, kept for whoever asks again in the same environment.

    A store has neither queries nor fragments: `#` and `?` are characters of a name, as in a path.

    Raises
    ------
    StoreError
        If obstore does not know such URLs, or this one holds a password.
    """
    return _object_store(url, frozenset(item for item in os.environ.items() if item[0].startswith(_PREFIXES)))


@lru_cache(maxsize=256)
def _object_store(url: str, _environment: frozenset[tuple[str, str]]) -> "ObjectStore":
    from obstore.exceptions import BaseError
    from obstore.store import HTTPStore, from_url

    check_url(url)
    try:
        if is_http(url):
            return HTTPStore.from_url(url, client_options={"allow_http": True}, retry_config=_RETRIES)
        options: Any = {} if url.startswith(("file:", "memory:")) else {"retry_config": _RETRIES}
        return from_url(url.replace("#", "%23").replace("?", "%3F"), **options)
    except (BaseError, ValueError) as error:
        raise StoreError(
            f"{url!r} is not a place that can be reached: {_first_line(error)}. "
            "Give a local path, or a URL such as s3://bucket/prefix"
        ) from error


def located(url: str) -> tuple["ObjectStore", str]:
    """The store that an object is in, the same for all objects of a bucket, and its name there."""
    if is_http(url):
        return object_store(url), ""  # which is asked as it is, with its query
    scheme, _, rest = url.partition("://")
    root, _, name = rest.rpartition("/") if scheme in ("file", "memory") else rest.partition("/")
    return object_store(f"{scheme}://{root}"), unquote(name)


def persistently(call: Callable[[], Answer]) -> Answer:
    """What a call answers; it is made again where an answer broke off, which obstore mends for contents only."""
    from obstore.exceptions import GenericError

    for pause in PAUSES:
        try:
            return call()
        except GenericError as error:
            if not broke_off(error):
                raise
            time.sleep(pause)
    return call()


def broke_off(error: Exception) -> bool:
    """Whether obstore says that an answer broke off."""
    return "body error" in str(error)


@contextmanager
def reaching(url: str, *expected: type[Exception]) -> Iterator[None]:
    """Make what obstore raises an `UnreachableError` in words, but for what is expected.

    A file that is not there stays FileNotFoundError.
    """
    try:
        yield
    except expected:
        raise
    except Exception as error:
        words = why_refused(url, error)
        if words is None:
            raise
        raise UnreachableError(f"{url} {words}") from error


def why_refused(url: str, error: BaseException) -> str | None:
    """What keeps a place from being read or written, after its name, and what to do; None for what is not obstore's."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    said = str(error)
    if not isinstance(error, BaseError) and not _has_no_bucket(said):
        return None
    scheme = url.partition("://")[0].lower()
    names = _ENVIRONMENT.get(_SCHEMES.get(scheme, scheme), "")
    if any(server in said for server in _METADATA_SERVERS):
        return f"cannot be reached without credentials: set {names} in the environment, here and on workers"
    if _has_no_bucket(said):
        return f"is in no bucket that is there: make {url.split('/')[2]}, or mend its name"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "status code: 403" in said:
        if is_http(url):
            return f"is refused ({_answer(said)}): what a web server does not give to everybody is not read"
        return (
            f"is refused ({_answer(said)}): check the rights of the credentials, {names}, here and on workers"
        )
    if "InvalidPath" in said:
        return f"holds a name that is no path ({_first_line(error)}): rename it"
    return f"cannot be reached ({_answer(said)}): check the network and the endpoint, then run again"


def _has_no_bucket(said: str) -> bool:
    return "NoSuchBucket" in said or "ContainerNotFound" in said or "bucket does not exist" in said


def _answer(said: str) -> str:
    """What a server answered, or what became of the request, from obstore's many lines."""
    code, message = (re.search(f"<{tag}>([^<]*)</{tag}>", said) for tag in ("Code", "Message"))
    if code:
        return f"{code[1]}: {message[1]}" if message and message[1] else code[1]
    if status := re.search(r"status code: (\d+ [A-Za-z -]+)", said):
        return status[1].strip()
    for sign, words in (
        ("Connect", "no connection"),
        ("Timeout", "no answer in time"),
        ("Body", "its answers break off"),
    ):
        if f"kind: {sign}" in said:
            return words
    return _first_line(said)


def _first_line(error: object) -> str:
    return re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", printable(str(error).partition("\n")[0]))[:300]
