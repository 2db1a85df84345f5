"""Object storage: both transports, resuming, retries, archives, one copier per machine, and failures."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from moto.s3 import models as s3_models

from model_utils.cloud import archives, mirror, object_store
from model_utils.cloud.mirror import Mirror
from model_utils.errors import UserError
from model_utils.moxing_adapter import sync_in, sync_out
from tests.cloud import MOXING, Cloud, running_cloud, zip_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def server():
    with running_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(server, monkeypatch) -> Cloud:
    server.faults.plan.clear()
    server.faults.requests.clear()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store, "FIRST_WAIT", 0.01)
    return server


@pytest.fixture
def moxing(tmp_path, monkeypatch) -> Path:
    """The folder that stands for object storage."""
    storage = tmp_path / "storage"
    storage.mkdir()
    monkeypatch.syspath_prepend(str(MOXING))
    monkeypatch.setenv("FAKE_OBS", str(storage))
    monkeypatch.setattr(object_store, "FIRST_WAIT", 0.01)
    yield storage
    for name in [name for name in sys.modules if name.partition(".")[0] == "moxing"]:
        del sys.modules[name]


def content(folder: Path) -> dict[str, bytes]:
    """Visible files by relative name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not re.search(r"(^|/)\.", name)}


def in_process(code: str, *arguments: object, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_tree_goes_out_and_comes_back(cloud, tmp_path):
    files = {"a.txt": b"1", "子/图 像+&.png": b"22", "empty": b"", "big.bin": os.urandom(object_store.PART + 5)}
    for name, data in files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(data)
    (tmp_path / "out" / "half.tmp.ckpt").write_bytes(b"half")
    assert sync_out(tmp_path / "out", "obs://bucket/tree/") == 4
    assert sorted(cloud.keys("tree/")) == sorted(f"tree/{name}" for name in files)
    assert sync_out(tmp_path / "out", "obs://bucket/tree") == 1  # big.bin went in parts: it has no checksum to compare
    assert sync_in("s3://bucket/tree", tmp_path / "in") == tmp_path / "in"
    assert content(tmp_path / "in") == files
    assert sync_in("obs://bucket/tree/a.txt", tmp_path / "one") == tmp_path / "one" / "a.txt"


def test_only_what_changed_is_copied_again(cloud, tmp_path):
    for name in "ab":
        cloud.put(f"again/{name}", b"old")
    sync_in("obs://bucket/again", tmp_path / "in")
    assert cloud.counted("GET", "/again/") == 2
    cloud.put("again/b", b"new")
    sync_in("obs://bucket/again", tmp_path / "in")
    assert cloud.counted("GET", "/again/") == 3
    (tmp_path / "in" / ".copied.json").unlink()
    sync_in("obs://bucket/again", tmp_path / "in")  # checksums tell as well
    assert cloud.counted("GET", "/again/") == 3
    assert content(tmp_path / "in") == {"a": b"old", "b": b"new"}


def test_more_than_a_page_of_objects(cloud, tmp_path):
    cloud.put_many([f"many/{i:04d}" for i in range(1003)])
    assert len(object_store.open_store("obs://bucket").list("obs://bucket/many")) == 1003
    chosen = sync_in("obs://bucket/many", tmp_path / "in", choose=lambda names: [n for n in names if n > "1000"])
    assert content(chosen) == {"1001": b"many/1001", "1002": b"many/1002"}


@pytest.mark.parametrize("fault", [503, 500, "cut"])
def test_a_failing_request_is_repeated(cloud, tmp_path, fault, capsys):
    cloud.put(f"flaky{fault}/x", b"0123456789")
    cloud.faults.add("GET", f"/flaky{fault}/x", fault, times=2)
    assert content(sync_in(f"obs://bucket/flaky{fault}", tmp_path / "in")) == {"x": b"0123456789"}
    assert "attempt 3 of 6" in capsys.readouterr().out
    if fault != "cut":
        cloud.faults.add("PUT", "/sent", fault, times=2)
        assert sync_out(tmp_path / "in" / "x", f"obs://bucket/sent{fault}") == 1
        assert cloud.get(f"sent{fault}") == b"0123456789"


def test_an_interrupted_download_says_so_and_goes_on(cloud, tmp_path):
    for name in "ab":
        cloud.put(f"broken/{name}", b"0123456789")
    cloud.faults.add("GET", "/broken/b", "cut", times=99)
    with pytest.raises(UserError, match=r"broken/b: failed 6 times.*run it again, it goes on"):
        sync_in("obs://bucket/broken", tmp_path / "in")
    assert content(tmp_path / "in") == {"a": b"0123456789"}
    cloud.faults.plan.clear()
    sync_in("obs://bucket/broken", tmp_path / "in")
    assert content(tmp_path / "in") == {"a": b"0123456789", "b": b"0123456789"}
    assert cloud.counted("GET", "/broken/a") == 1


@pytest.mark.parametrize("direction", ["in", "out"])
def test_killed_in_a_large_file_it_goes_on_with_the_missing_parts(cloud, tmp_path, direction, monkeypatch):
    monkeypatch.setattr(s3_models, "S3_UPLOAD_PART_MIN_SIZE", 2**18)
    data = os.urandom(4 * 2**20)
    key, path = f"parts_{direction}/x.bin", tmp_path / "x.bin"
    if direction == "in":
        cloud.put(key, data)
        call = "sync_in('obs://bucket/parts_in', Path(sys.argv[1]) / 'in')"
    else:
        path.write_bytes(data)
        call = "sync_out(Path(sys.argv[1]) / 'x.bin', 'obs://bucket/parts_out/x.bin')"
    code = (
        "import sys; from pathlib import Path; from model_utils.cloud import mirror, object_store\n"
        "from model_utils.moxing_adapter import sync_in, sync_out\n"
        f"object_store.PART = 2**18; mirror.COPY_BELOW = 2**18; object_store.FIRST_WAIT = 30\n{call}"
    )
    method = "GET" if direction == "in" else "PUT"
    cloud.faults.add(method, key, 503, times=99, after=5)
    with in_process(code, tmp_path) as process:
        assert "attempt 2" in process.stdout.readline()  # it waits 30 s, with 5 of 16 parts
        process.kill()
    assert not (tmp_path / "in" / "x.bin").exists() and (direction == "in" or not cloud.keys(key))
    cloud.faults.plan.clear()
    cloud.faults.requests.clear()
    with in_process(code, tmp_path) as process:
        printed = process.stdout.read()
    assert process.returncode == 0, printed
    assert cloud.counted(method, key) == 11
    assert ((tmp_path / "in" / "x.bin").read_bytes() if direction == "in" else cloud.get(key)) == data


def test_archives_are_unpacked_once(cloud, tmp_path, capsys):
    cloud.put("zipped/01_images.zip", zip_of({"GTA5/images/1.png": b"i"}))
    cloud.put("zipped/sub/more.zip", zip_of({"x": b"x"}))
    folder = sync_in("obs://bucket/zipped", tmp_path / "in")
    assert (folder / "GTA5/images/1.png").read_bytes() == b"i"
    assert (folder / "sub/x").read_bytes() == b"x"
    assert capsys.readouterr().out.count("unpacking") == 2
    sync_in("obs://bucket/zipped", tmp_path / "in")
    assert "unpacking" not in capsys.readouterr().out
    single = sync_in("obs://bucket/zipped/01_images.zip", tmp_path / "single")
    assert (single / "GTA5/images/1.png").read_bytes() == b"i"


def test_local_paths_are_used_as_they_are_and_archives_in_them_unpacked(tmp_path, capsys):
    assert sync_in(str(tmp_path), tmp_path / "work") == tmp_path
    assert not (tmp_path / "work").exists()
    inputs = tmp_path / "inputs"
    (inputs / "Cityscapes").mkdir(parents=True)
    shutil.make_archive(str(inputs / "gta5"), "gztar", tmp_path, "inputs/Cityscapes")
    for _ in range(2):
        folder = sync_in(str(inputs), tmp_path / "work")
        assert (folder / "Cityscapes").is_dir() and (folder / "inputs" / "Cityscapes").is_dir()
    assert capsys.readouterr().out.count("unpacking") == 1


@pytest.mark.slow
def test_one_process_copies_and_the_others_wait(cloud, tmp_path):
    for i in range(6):
        cloud.put(f"shared/{i}", b"%d" % i)
    cloud.faults.add("GET", "/shared/3", 503)
    code = (
        "import sys; from pathlib import Path; from model_utils.cloud import object_store\n"
        "from model_utils.moxing_adapter import sync_in\n"
        "object_store.FIRST_WAIT = 2\n"
        "print(len(list(sync_in('obs://bucket/shared', Path(sys.argv[1])).glob('[0-9]'))))"
    )
    processes = [in_process(code, tmp_path / "in") for _ in range(2)]
    printed = [process.communicate()[0] for process in processes]
    assert [text.splitlines()[-1] for text in printed] == ["6", "6"]
    assert cloud.counted("GET", "/shared/") == 7


def test_the_death_of_the_copier_is_noticed(cloud, tmp_path):
    cloud.put("dying/x", b"x")
    cloud.faults.add("GET", "/dying/x", 503)
    code = (
        "import sys; from pathlib import Path; from model_utils.cloud import object_store\n"
        "from model_utils.moxing_adapter import sync_in\n"
        "object_store.FIRST_WAIT = 100; sync_in('obs://bucket/dying', Path(sys.argv[1]))"
    )
    with in_process(code, tmp_path / "in") as first:
        assert "attempt 2" in first.stdout.readline()
        with in_process(code, tmp_path / "in") as second:
            assert f"waiting for process {first.pid}" in second.stdout.readline()
            first.kill()
            assert second.wait(20) == 0
    assert (tmp_path / "in" / "x").read_bytes() == b"x"


@pytest.mark.slow
def test_the_failure_of_the_copier_is_shared(cloud, tmp_path):
    cloud.put("failing/x", b"x")
    cloud.faults.add("GET", "/failing/x", 503)
    cloud.faults.add("GET", "/failing/x", 403)
    code = (
        "import sys; from pathlib import Path; from model_utils import errors\n"
        "from model_utils.cloud import object_store\n"
        "from model_utils.moxing_adapter import sync_in\n"
        "object_store.FIRST_WAIT = 2\n"
        "sys.exit(errors.run(lambda _: sync_in('obs://bucket/failing', Path(sys.argv[1])) and 0))"
    )
    with in_process(code, tmp_path / "in") as first:
        first.stdout.readline()
        with in_process(code, tmp_path / "in") as second:
            second.stdout.readline()
            assert [first.wait(20), second.wait(20)] == [2, 2]
            assert second.stdout.read() == first.stdout.read() != ""


def test_a_mirror_sends_while_the_run_writes(cloud, tmp_path):
    (tmp_path / "old.ckpt").write_bytes(b"came from there")
    cloud.put("mirror/old.ckpt", b"came from there")
    mirrored = Mirror(tmp_path, "obs://bucket/mirror", seconds=0.05, last=lambda name: name.endswith("_state"))
    mirrored.start()
    (tmp_path / "log.txt").write_bytes(b"1")
    (tmp_path / "5_state").write_bytes(b"s")
    (tmp_path / "5.ckpt").write_bytes(b"w")
    deadline = time.time() + 10
    while len(cloud.keys("mirror/")) < 4 and time.time() < deadline:
        time.sleep(0.05)
    cloud.faults.add("PUT", "/mirror/log.txt", 403)
    (tmp_path / "log.txt").write_bytes(b"1 2")
    time.sleep(0.5)
    mirrored.close()
    assert sorted(cloud.keys("mirror/")) == [f"mirror/{name}" for name in ("5.ckpt", "5_state", "log.txt", "old.ckpt")]
    assert cloud.get("mirror/log.txt") == b"1 2"
    sent = [path for method, path in cloud.faults.requests if method == "PUT"]
    assert sent.index("/bucket/mirror/5.ckpt") < sent.index("/bucket/mirror/5_state")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("obs://", "names no bucket; write obs://BUCKET/FOLDER"),
        ("obs:///key", "names no bucket"),
        ("obs:bucket/key", "names no bucket"),
        ("s3://Bucket/key", "names no bucket"),
        ("obs://bucket/nothing", "holds nothing; check the address"),
        ("obs://no-such-bucket/x", "does not exist .404 NoSuchBucket."),
        ("/no/such/folder", "does not exist; check the job's inputs"),
    ],
)
def test_wrong_addresses(cloud, tmp_path, url, message):
    with pytest.raises(UserError, match=message):
        sync_in(url, tmp_path / "in")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_no_permission_is_said_at_once(cloud, tmp_path, method):
    cloud.put("denied/x", b"x")
    cloud.faults.add(method, "denied", 403)
    (tmp_path / "x").write_bytes(b"y")
    with pytest.raises(UserError, match=r"no permission .403 AccessDenied.; check the access key"):
        sync_in("obs://bucket/denied", tmp_path / "in") if method == "GET" else sync_out(
            tmp_path / "x", "obs://bucket/denied/x"
        )


def test_no_endpoint_and_no_server(cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("OBS_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"failed 6 times.*refused"):
        sync_in("obs://bucket/x", tmp_path / "in")
    monkeypatch.delenv("OBS_ENDPOINT")
    monkeypatch.delenv("S3_ENDPOINT", raising=False)
    with pytest.raises(UserError, match=r"OBS_ENDPOINT: set it to the region's address"):
        sync_in("obs://bucket/x", tmp_path / "in")


def test_a_disk_without_room_is_refused_before_the_copy(cloud, tmp_path, monkeypatch):
    cloud.put("large/x", b"0" * 1000)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage(1000, 900, 100))
    with pytest.raises(UserError, match=r"copying obs://bucket/large needs .* make room or give another --work_dir"):
        sync_in("obs://bucket/large", tmp_path / "in")
    assert cloud.counted("GET", "/large/") == 0


def test_archives_that_are_damaged_or_reach_out(cloud, tmp_path):
    cloud.put("bad/a.zip", b"no archive")
    with pytest.raises(UserError, match=r"a\.zip: cannot be unpacked"):
        sync_in("obs://bucket/bad", tmp_path / "in")
    cloud.put("evil/a.zip", zip_of({"../evil": b""}))
    with pytest.raises(UserError, match=r"holds '\.\./evil', which lies outside"):
        sync_in("obs://bucket/evil", tmp_path / "evil")
    assert not (tmp_path / "evil.txt").exists()


def test_moxing_brings_and_sends(moxing, tmp_path):
    (moxing / "bucket/data/sub").mkdir(parents=True)
    (moxing / "bucket/data/sub/x").write_bytes(b"x")
    (moxing / "bucket/data/a.zip").write_bytes(zip_of({"y": b"y"}))
    (moxing / ".faults").write_text("copy data/sub/x connection reset\nexists data timed out")
    folder = sync_in("obs://bucket/data/", tmp_path / "in")
    assert set(content(folder)) == {"sub/x", "a.zip", "y"}
    (moxing / ".faults").write_text("copy results/y 503")
    assert sync_out(folder, "s3://bucket/results") == 3
    assert content(moxing / "bucket/results") == content(folder)
    assert sync_in("obs://bucket/data/sub/x", tmp_path / "one").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("copy data/x status=403, AccessDenied", "data/x: no permission"),
        ("copy data/x ENOSPC", "No space left on device .*make room"),
        ("exists data NoSuchBucket", "does not exist"),
    ],
)
def test_moxing_that_raises(moxing, tmp_path, fault, message):
    (moxing / "bucket/data").mkdir(parents=True)
    (moxing / "bucket/data/x").write_bytes(b"x")
    (moxing / ".faults").write_text(fault)
    with pytest.raises(UserError, match=message):
        sync_in("obs://bucket/data", tmp_path / "in")
    assert not (tmp_path / "in" / "x").exists()


def test_another_program_named_moxing(tmp_path, monkeypatch):
    (tmp_path / "moxing").mkdir()
    (tmp_path / "moxing/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "moxing", raising=False)
    monkeypatch.setitem(sys.modules, "obs", None)  # not installed
    with pytest.raises(UserError, match=r"another program than Huawei's .*pip install -r requirements-modelarts.txt"):
        sync_in("obs://bucket/data", tmp_path / "in")
    monkeypatch.delitem(sys.modules, "moxing", raising=False)


def test_a_growing_file_is_sent_as_it_is_at_a_moment(cloud, tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    path.write_bytes(b"1")

    class Store:
        def upload(self, copy: Path, url: str) -> None:
            path.write_bytes(b"1 2")
            assert copy.read_bytes() == b"1"

    assert mirror.send(Store(), path, "obs://bucket/log.txt", None)
    assert errno.ENOSPC in object_store.DISK_ERRORS
