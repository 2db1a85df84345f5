"""A local S3-compatible server that can be told to fail, and a stand-in for Huawei's moxing."""

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

MOXING = Path(__file__).parent / "fake_moxing"  # a folder for PYTHONPATH


class Faults:
    """What goes wrong: see ``add``. ``requests`` holds (method, path) of all that came."""

    def __init__(self, application):
        self._application, self._lock = application, threading.Lock()
        self.plan: list[dict] = []
        self.requests: list[tuple[str, str]] = []

    def add(self, method: str, part: str, status: int | str, *, times: int = 1, after: int = 0) -> None:
        """Requests whose path holds ``part`` get ``status`` (or are "cut" off), ``times`` times ``after`` good ones."""
        self.plan.append({"method": method, "part": part, "status": status, "times": times, "after": after})

    def _next(self, method: str, path: str) -> int | str | None:
        self.requests.append((method, path))
        for fault in self.plan:
            if fault["method"] == method and fault["part"] in path and fault["times"]:
                if fault["after"]:
                    fault["after"] -= 1
                    return None
                fault["times"] -= 1
                return fault["status"]
        return None

    def __call__(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].encode("latin1").decode()
        with self._lock:
            status = self._next(method, path)
        if status == "cut":  # half of the body, then the connection closes
            headers: list = []
            body = b"".join(self._application(environ, lambda code, items, _=None: headers.extend([code, items])))
            start_response(headers[0], headers[1])
            return [body[: len(body) // 2]]
        if status:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = {403: "AccessDenied", 503: "ServiceUnavailable"}.get(status, "InternalError")
            text = f"<Error><Code>{code}</Code><Message>planned</Message></Error>".encode()
            start_response(f"{status} {code}", [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
            return [] if method == "HEAD" else [text]
        return self._application(environ, start_response)


class Cloud:
    """A running server with a bucket named ``bucket``; ``environment`` is what a client needs."""

    def __init__(self, port: int, faults: Faults):
        self.faults = faults
        self.environment = {
            "OBS_ENDPOINT": f"http://127.0.0.1:{port}",
            "OBS_ACCESS_KEY_ID": "key",
            "OBS_SECRET_ACCESS_KEY": "secret",
            "OBS_PATH_STYLE": "true",
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=self.environment["OBS_ENDPOINT"],
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self._client.create_bucket(Bucket="bucket")

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket="bucket", Key=key, Body=content)

    def put_many(self, keys: list[str]) -> None:
        """Small objects, past the network."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object("bucket", key, key.encode())

    def get(self, key: str) -> bytes:
        return self._client.get_object(Bucket="bucket", Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def put_folder(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def counted(self, method: str, part: str) -> int:
        return sum(m == method and part in path for m, path in self.faults.requests)


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    """The server on a free port of the loopback interface."""
    faults = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faults, threaded=True)
    server.log = lambda *_: None
    server.RequestHandlerClass.log = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Cloud(server.port, faults)
    finally:
        server.shutdown()
        thread.join()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip archive as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
