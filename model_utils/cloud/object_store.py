"""The two ways to OBS: Huawei's moxing (inside ModelArts images) and the OBS SDK; and what both need: URLs, retries."""

import errno
import hashlib
import importlib
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from model_utils.errors import UserError

ATTEMPTS = 6
FIRST_WAIT = 1.0  # seconds before the second attempt, and up to as many more; doubles
PART = 16 * 2**20  # bytes; larger files travel in parts, which a later attempt need not repeat
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
NOT_GENUINE = "the installed 'moxing' is another program than Huawei's (it has no moxing.file)"
NO_ENTRY = re.compile(r"\b40[13]\b|AccessDenied|Forbidden|InvalidAccessKey|SignatureDoesNotMatch|InvalidSecurity", re.I)
NOT_THERE = re.compile(r"\b404\b|NoSuchBucket|NoSuchKey|NotExist|not exist", re.I)


@dataclass(frozen=True)
class Entry:
    """An object: bytes, and what changes with its content (an ETag or a time; "" unknown)."""

    size: int
    version: str = ""


class Store(Protocol):
    """What a transfer needs. Errors that repeating cannot mend are UserErrors."""

    def list(self, url: str) -> dict[str, Entry]:
        """The objects below ``url`` by relative name; ``{"": entry}`` when ``url`` itself is an object."""

    def download(self, url: str, path: Path, entry: Entry) -> None:
        """Writes the object to ``path``, a temporary name."""

    def upload(self, path: Path, url: str) -> None:
        """Writes the file to the object."""


def is_url(text: str) -> bool:
    """Whether ``text`` names something in object storage rather than a local path."""
    return str(text).startswith(("obs:", "s3:"))


def split_url(url: str) -> tuple[str, str]:
    """``obs://bucket/some/key`` -> ("bucket", "some/key").

    Raises:
        UserError: no bucket, or one that cannot exist.
    """
    found = re.fullmatch(r"(?:obs|s3)://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/+(.*))?", url, re.S)
    if not found:
        raise UserError(f"{url}: names no bucket; write obs://BUCKET/FOLDER (a bucket has 3 to 63 small letters)")
    return found[1], found[2] or ""


def open_store(url: str) -> Store:
    """The transport for ``url``: genuine moxing if it is there, else the OBS SDK.

    Raises:
        UserError: neither is installed, or the OBS SDK has no endpoint.
    """
    split_url(url)
    moxing, why_not = _genuine_moxing()
    if moxing:
        return MoxingStore(moxing)
    try:
        importlib.import_module("obs")
    except ImportError:
        raise UserError(
            f"{url}: {why_not}, and the OBS SDK is not installed; "
            "run in a ModelArts image, or pip install -r requirements-modelarts.txt"
        ) from None
    return ObsStore()


def _genuine_moxing():
    """(module, "") or (None, reason). PyPI's package of that name is another program, without ``file``."""
    level = logging.root.level
    try:
        moxing = importlib.import_module("moxing")
        file = getattr(moxing, "file", None) or importlib.import_module("moxing.file")
    except ModuleNotFoundError as error:
        return None, "moxing is not installed" if error.name == "moxing" else NOT_GENUINE
    except Exception as error:
        return None, f"moxing cannot be imported ({' '.join(str(error).split())})"
    finally:
        logging.root.setLevel(level)  # the genuine one sets it to INFO
    return (moxing, "") if hasattr(file, "copy_parallel") else (None, NOT_GENUINE)


def retry(what: str, action: Callable, say: Callable[[str], None]):
    """Calls ``action()`` until it succeeds, at most ATTEMPTS times, waiting longer each time.

    Raises:
        UserError: a full or read-only disk, no permission, a wrong address, or all attempts failed.
        FileNotFoundError: a local file is gone.
    """

    def attempt():
        try:
            return action()
        except (UserError, FileNotFoundError):
            raise
        except Exception as error:
            _refuse(what, error)
            raise

    def announce(state: RetryCallState) -> None:
        number, wait = state.attempt_number + 1, state.upcoming_sleep
        say(f"{what}: {_reason(state.outcome.exception())[:200]}; attempt {number} of {ATTEMPTS} in {wait:.0f} s")

    def give_up(state: RetryCallState) -> None:
        error = state.outcome.exception()
        raise UserError(
            f"{what}: failed {ATTEMPTS} times, the last time with '{_reason(error)[:200]}'; run it again, it goes on "
            "with what is missing"
        ) from error

    return Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT, jitter=FIRST_WAIT),
        retry=retry_if_exception(
            lambda e: isinstance(e, Exception) and not isinstance(e, UserError | FileNotFoundError)
        ),
        before_sleep=announce,
        retry_error_callback=give_up,
    )(attempt)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _refuse(url: str, error: Exception) -> None:
    """Raises a UserError when ``error`` is one that repeating cannot mend."""
    reason = _reason(error)
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f" ({error.filename})" if error.filename else ""
        raise UserError(f"{url}: {error.strerror}{where}; make room, or give another folder") from error
    if NO_ENTRY.search(reason):
        raise UserError(
            f"{url}: no permission ({reason}); check the access key and its user's rights in the bucket"
        ) from error
    if NOT_THERE.search(reason):
        raise UserError(f"{url}: does not exist ({reason}); check the address") from error


def md5(path: Path) -> str:
    """Hexadecimal MD5 of a file: what an ETag is, for an object that was not sent in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class ObsStore:
    """The OBS SDK (also any S3-compatible server).

    Environment: OBS_ENDPOINT or S3_ENDPOINT; OBS_ACCESS_KEY_ID, OBS_SECRET_ACCESS_KEY and OBS_SECURITY_TOKEN, or the
    same names without OBS_; without keys the SDK asks the cloud host. OBS_PATH_STYLE=true for servers that need it.
    """

    def __init__(self):
        from obs import ObsClient

        server = os.environ.get("OBS_ENDPOINT") or os.environ.get("S3_ENDPOINT")
        if not server:
            raise UserError(
                "OBS_ENDPOINT: set it to the region's address, e.g. https://obs.cn-north-4.myhuaweicloud.com"
            )
        names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SECURITY_TOKEN")
        key, secret, token = (os.environ.get(f"OBS_{name}") or os.environ.get(name) for name in names)
        options = {"access_key_id": key, "secret_access_key": secret, "security_token": token}
        if not key:
            options = {"security_provider_policy": "OBS_DEFAULT"}  # the SDK's own chain: environment, cloud host
        self._client = ObsClient(
            **options,
            server=server,
            path_style=os.environ.get("OBS_PATH_STYLE", "").lower() in ("1", "true", "yes"),
            ssl_verify=True,  # off by default
            max_retry_count=0,  # retry() does it, and says so
            timeout=60,
        )

    def list(self, url: str) -> dict[str, Entry]:
        bucket, key = split_url(url)
        prefix = f"{key.rstrip('/')}/" if key else ""
        found, marker = {}, None
        while True:
            body = _checked(self._client.listObjects(bucket, prefix=prefix, marker=marker, max_keys=1000), url).body
            for item in body.contents:
                if not item.key.endswith("/"):  # a folder marker
                    found[item.key[len(prefix) :]] = Entry(item.size, (item.etag or "").strip('"'))
            if not body.is_truncated:
                break
            marker = body.next_marker or body.contents[-1].key
        if not found and key and not key.endswith("/"):
            head = self._client.getObjectMetadata(bucket, key)
            if head.status != 404:
                body = _checked(head, url).body
                return {"": Entry(body.contentLength, (body.etag or "").strip('"'))}
        return found

    def download(self, url: str, path: Path, entry: Entry) -> None:
        bucket, key = split_url(url)
        if entry.size > PART:
            self._download_parts(bucket, key, path)
        else:
            _checked(self._client.getObject(bucket, key, downloadPath=str(path)), url)
        is_md5 = re.fullmatch("[0-9a-fA-F]{32}", entry.version)
        if is_md5 and path.stat().st_size == entry.size and md5(path) != entry.version.lower():
            head = _checked(self._client.getObjectMetadata(bucket, key), url).body
            if not (head.sseKms or head.sseC):  # the ETag of an encrypted object is not its MD5
                path.unlink()
                raise OSError(f"{url}: the checksum of what arrived is wrong")

    def _download_parts(self, bucket: str, key: str, path: Path) -> None:
        """Writes path.tmp and a record beside it, from which it goes on."""
        try:
            response = self._client.downloadFile(
                bucket, key, str(path), partSize=PART, taskNum=4, enableCheckpoint=True, isAttachCrc64=True
            )
        except Exception as error:
            if shutil.disk_usage(path.parent).free < 2**20:  # the SDK hides why a part failed
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
            raise
        _checked(response, f"obs://{bucket}/{key}")

    def upload(self, path: Path, url: str) -> None:
        bucket, key = split_url(url)
        if path.stat().st_size > PART:
            record = path.with_name(f".{path.name}.upload_record")
            # Its CRC-64 option fails where the server gives none (KeyError in 3.26.6).
            response = self._client.uploadFile(
                bucket, key, str(path), partSize=PART, taskNum=4, enableCheckpoint=True, checkpointFile=str(record)
            )
            _checked(response, url)
            return
        response = _checked(self._client.putFile(bucket, key, str(path)), url)
        etag = (response.body.etag or "").strip('"')
        if re.fullmatch("[0-9a-f]{32}", etag) and etag != md5(path) and not response.body.sseKms:
            raise OSError(f"{url}: the checksum of what was stored is wrong")


def _checked(response, url: str):
    """The SDK returns failures; raises them."""
    if response.status < 300:
        return response
    reason = " ".join(f"{response.status} {response.errorCode or response.reason or ''}".split())
    if response.status == 400:
        raise UserError(f"{url}: refused ({reason}: {response.errorMessage}); check the address and OBS_ENDPOINT")
    raise ConnectionError(reason)


class MoxingStore:
    """Huawei's moxing, which finds the job's temporary credentials itself."""

    def __init__(self, moxing):
        self._file = moxing.file

    def list(self, url: str) -> dict[str, Entry]:
        root = url.rstrip("/")
        if not self._file.exists(root):
            return {}
        if not self._file.is_directory(root):
            return {"": self._entry(root)}
        names = [name.strip("/") for name in self._file.list_directory(root, recursive=True)]
        folders = {str(parent) for name in names for parent in Path(name).parents}
        entries = {name: self._entry(f"{root}/{name}") for name in names if name not in folders}
        return {name: entry for name, entry in entries.items() if entry}

    def download(self, url: str, path: Path, entry: Entry) -> None:
        self._file.copy(url, str(path))

    def upload(self, path: Path, url: str) -> None:
        self._file.copy(str(path), url)
        sent = self._entry(url)
        if sent is None or sent.size != path.stat().st_size:
            raise OSError(f"{url}: {sent and sent.size} bytes are stored, not {path.stat().st_size}")

    def _entry(self, url: str) -> Entry | None:
        """None for a folder."""
        stat = self._file.stat(url)
        return None if stat.is_directory else Entry(stat.length, str(stat.mtime_nsec))
