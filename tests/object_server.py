"""An S3 server for tests: moto, behind a proxy that notes each request, and makes trouble when it is told to."""

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from obstore.store import S3Store

BUCKET = "bucket"

Trouble = Callable[[str, str], str]
"""What to do to a request of a method for a path: "" to answer it, "cut" to break off half way, or a status."""


@dataclass
class ObjectServer:
    """A server with an empty bucket, and what was asked of it.

    Attributes
    ----------
    endpoint : str
        Where it is.
    requests : list of (str, str)
        Method and path, with its query, of each request.
    trouble : callable
        See `Trouble`.
    """

    endpoint: str
    requests: list[tuple[str, str]] = field(default_factory=list)
    trouble: Trouble = lambda method, path: ""

    @property
    def environment(self) -> dict[str, str]:
        """What whoever uses it needs."""
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing secret",
        }

    @property
    def store(self) -> S3Store:
        """Its bucket."""
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id="a",
            secret_access_key="b",
            client_options={"allow_http": True},
        )

    def empty(self) -> None:
        """Delete everything, and forget what was asked and what trouble to make."""
        self.trouble = lambda method, path: ""
        if names := [str(item["path"]) for item in self.store.list().collect()]:
            self.store.delete(names)
        self.requests.clear()

    def upload(self, folder: Path, prefix: str) -> str:
        """Copy a folder to a prefix; its URL."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.store.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path)
        return f"s3://{BUCKET}/{prefix}"

    def download(self, prefix: str, folder: Path) -> Path:
        """Copy what is below a prefix to a folder."""
        for item in self.store.list(prefix).collect():
            path = folder / str(item["path"]).removeprefix(f"{prefix}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(self.store.get(str(item["path"])).bytes()))
        return folder

    def count(self, method: str, part: str = "") -> int:
        """How many requests of a method were for a path that has this part."""
        return sum(found == method and part in path for found, path in self.requests)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run one."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    proxy = _Server(("127.0.0.1", 0), _handler(server := ObjectServer(""), moto.server_port))
    server.endpoint = f"http://127.0.0.1:{proxy.server_port}"
    threads = [threading.Thread(target=s.serve_forever, daemon=True) for s in (moto, proxy)]
    for thread in threads:
        thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", moto.server_port)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.request("PUT", f"/{BUCKET}", headers={"Host": "s3.amazonaws.com"})
    connection.getresponse().read()
    connection.close()
    try:
        yield server
    finally:
        for running in (moto, proxy):
            running.shutdown()
            running.server_close()


def _handler(server: ObjectServer, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests.append((self.command, self.path))
            trouble = server.trouble(self.command, self.path)
            if trouble.isdigit():
                self.send_response(int(trouble))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(self.command, self.path, body, dict(self.headers))
            found = connection.getresponse()
            data = found.read()
            connection.close()
            self.send_response(found.status)
            for name, value in found.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                    self.send_header(name, value)
            if found.getheader("Content-Length") is None:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if trouble == "cut" else data)
            self.close_connection = trouble == "cut" or self.close_connection

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    return Handler
