"""Whole jobs through the boot file: V1 and V2, every way to start processes, crash and restart, wrong input."""

import ast
import csv
import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_utils import errors
from modelarts.job import worth_having
from tests.cloud import MOXING, Cloud, running_cloud

ROOT = Path(__file__).resolve().parent.parent
START = ROOT / "modelarts" / "start.py"
TINY = "--depths=1,1,1,1 --width=4 --input_size=64,40 --input_size_target=64,32 --output_size=96,48 --device=CPU"
TINY = [*TINY.split(), "--log_every=1", "--num_workers=1", "--mode=eager", "--eval_every=0", "--sync_seconds=0.2"]


@pytest.fixture(scope="module")
def server(world, tmp_path_factory):
    archive = shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "world"), "zip", world)
    with running_cloud() as cloud:
        cloud.put("data/world.zip", Path(archive).read_bytes())
        yield cloud


@pytest.fixture
def cloud(server) -> Cloud:
    server.faults.plan.clear()
    server.faults.requests.clear()
    return server


def boot_file():
    """The boot file as a module; it lies in no package."""
    spec = importlib.util.spec_from_file_location("boot_file", START)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launch(folder: Path, *words: str, environ: dict[str, str] | None = None, command: tuple = ()) -> subprocess.Popen:
    """Starts the boot file as the platform does: from another folder."""
    names = {"RANK_ID", "RANK_SIZE", "DEVICE_ID", "MS_ROLE", "MA_NUM_GPUS", "VC_WORKER_HOSTS", "MA_NUM_HOSTS"}
    clean = {key: value for key, value in os.environ.items() if key not in names}
    command = command or (sys.executable,)
    return subprocess.Popen(
        [*map(str, command), str(START), f"--work_dir={folder / 'work'}", *words],
        cwd=folder,
        env={**clean, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen, code: int = 0) -> str:
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == code, printed
    return printed


def iterations(table: bytes) -> list[int]:
    return [int(row["iteration"]) for row in csv.DictReader(io.StringIO(table.decode()))]


def test_a_v1_job_then_again_then_its_evaluation(cloud, tmp_path):
    urls = ["--data_url=obs://bucket/data/", "--train_url=obs://bucket/v1/"]
    job = [*urls, *TINY, "--num_steps_stop=2", "--init_method=tcp://x"]
    printed = finish(launch(tmp_path, *job, environ=cloud.environment))
    assert "ignored: --init_method=tcp://x" in printed and "iter =        1/" in printed
    names = {name.removeprefix("v1/") for name in cloud.keys("v1/")}
    assert names >= {"GTA5_2.ckpt", "GTA5_2_D1.ckpt", "GTA5_2_D2.ckpt", "GTA5_2_state.safetensors", "config.yaml"}
    assert names >= {"log.txt", "metrics.csv", "curves.png", "console/node_0.log", "job.json"}
    assert b"iter =        1/" in cloud.get("v1/console/node_0.log")
    assert json.loads(cloud.get("v1/job.json"))["task"] == "train_adv"
    (tmp_path / "other").mkdir()
    again = finish(launch(tmp_path / "other", *job, environ=cloud.environment))
    assert "training has already reached 2 iterations" in again and "iter =" not in again
    weights = "--checkpoint_url=obs://bucket/v1/GTA5_2.ckpt"
    evaluation = ["--task=eval", weights, urls[0], "--train_url=obs://bucket/score", "--device=CPU", "--mode=eager"]
    assert "===> mIoU:" in finish(launch(tmp_path, *evaluation, environ=cloud.environment))
    assert json.loads(cloud.get("score/result.json"))["checkpoint"].endswith("GTA5_2.ckpt")


def test_a_v2_job_starts_its_devices_and_goes_on_with_one(world, tmp_path):
    results = tmp_path / "outputs" / "train_url_0"
    channels = {"data_url": str(world), "train_url": str(results)}  # delivered as variables
    cards = {"MA_NUM_GPUS": "2", "VC_TASK_INDEX": "5", "RANK_TABLE_FILE": "/user/config"}
    words = ["--task", "train_src", *TINY]
    finish(launch(tmp_path, *words, "--num_steps_stop=1", environ={**channels, **cards}))
    names = {path.name for path in results.iterdir()}
    assert names >= {"GTA5_1.ckpt", "GTA5_1_state.safetensors", "console", "log.txt", "job.json"}
    logs = sorted((results / "console").glob("node_0/msrun_*/worker_*.log"))
    assert [path.name for path in logs] == ["worker_0.log", "worker_1.log"]
    assert "rank 1 of 2" in logs[1].read_text()
    printed = finish(launch(tmp_path, *words, "--num_steps_stop=2", environ=channels))
    assert "resumed from" in printed and iterations((results / "metrics.csv").read_bytes()) == [0, 1]


def test_killed_hard_and_started_elsewhere_it_goes_on(cloud, tmp_path):
    def job(folder: str, steps: int) -> subprocess.Popen:
        (tmp_path / folder).mkdir()
        words = [*TINY, "--save_pred_every=15", f"--num_steps_stop={steps}", "--task=train_src", "--keep_snapshots=3"]
        urls = ["--data_url=obs://bucket/data", "--train_url=obs://bucket/crash"]
        return launch(tmp_path / folder, *urls, *words, environ=cloud.environment)

    def states() -> list[int]:
        found = [key for key in cloud.keys("crash/") if key.endswith("_state.safetensors")]
        return sorted(int(key.split("_")[1]) for key in found)

    with job("first", 100_000) as first:
        deadline = time.time() + 120
        while len(states()) < 1 and time.time() < deadline:
            time.sleep(0.1)
        first.kill()
    reached = states()[-1]
    before = cloud.get("crash/metrics.csv").splitlines()
    printed = finish(job("second", reached + 3))
    assert f"resumed from {tmp_path}/second/work" in printed and f"GTA5_{reached}.ckpt" in printed
    after = cloud.get("crash/metrics.csv").splitlines()
    assert after[: reached + 1] == before[: reached + 1]
    assert iterations(cloud.get("crash/metrics.csv")) == list(range(reached + 3))
    assert states()[-1] == reached + 3
    assert cloud.get("crash/console/node_0.log").count(b"\n---- ") == 2


def test_a_restarted_job_fetches_what_it_needs(tmp_path):
    def snapshot(number: int) -> list[str]:
        return [f"GTA5_{number}{end}" for end in (".ckpt", "_D1.ckpt", "_state.safetensors")]

    others = ["GTA5_best_miou.ckpt", "curves.png", "tensorboard/events.out.1"]
    needed = ["log.txt", "metrics.csv", "console/rank_0.log", "best.json"]
    (tmp_path / "log.txt").write_text("what is here may be newer")
    names = [*snapshot(5), *snapshot(10), *snapshot(100), "GTA5_105.ckpt", *others, *needed]
    assert worth_having(names, tmp_path) == [*snapshot(10), *snapshot(100), *needed[1:]]


def test_results_of_a_failed_run_are_sent_and_what_cannot_be_sent_stays(cloud, tmp_path):
    cloud.faults.add("PUT", "GTA5_2_state", 403, times=10**6)
    urls = ["--data_url=obs://bucket/data", "--train_url=obs://bucket/failed"]
    words = ["--task=train_src", "--learning_rate=1e20", "--save_pred_every=1", "--num_steps_stop=9"]
    printed = finish(launch(tmp_path, *urls, *TINY, *words, environ=cloud.environment), code=2)
    assert "is not finite; the last good snapshot is" in printed
    assert b"is not finite" in cloud.get("failed/console/node_0.log")
    sent = cloud.keys("failed/")
    assert {"failed/GTA5_1_state.safetensors", "failed/GTA5_2.ckpt"} <= set(sent)
    assert "GTA5_2_state.safetensors: no permission" in printed and "; the results stay in " in printed
    assert len(list((tmp_path / "work").rglob("GTA5_2_state.safetensors"))) == 1


def test_a_stopped_job_ends_its_program_and_sends_what_there_is_through_moxing(world, tmp_path):
    storage = tmp_path / "storage"
    shutil.copytree(world, storage / "bucket" / "data")
    environ = {"FAKE_OBS": str(storage), "PYTHONPATH": str(MOXING)}
    urls = ["--data_url=s3://bucket/data", "--train_url=s3://bucket/out"]
    words = ["--task=train_src", "--num_steps_stop=100000", "--sync_seconds=1000"]
    with launch(tmp_path, *urls, *TINY[:-1], *words, environ=environ) as process:
        while "iter =" not in process.stdout.readline():
            assert process.poll() is None
        process.terminate()
        finish(process, code=143)
    assert "iter =        0/" in (storage / "bucket/out/log.txt").read_text()


def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_processes_that_the_platform_started_one_per_card(cloud, tmp_path):
    urls = ["--data_url=obs://bucket/data", "--train_url=obs://bucket/cards"]
    (tmp_path / "jobstart_hccl.json").write_text('{"status": "initializing", "group_list": []}')
    shared = {**cloud.environment, "RANK_SIZE": "2", "RANK_TABLE_FILE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    cards = [{**shared, "RANK_ID": str(i), "ASCEND_DEVICE_ID": str(i)} for i in (0, 1)]
    words = ["--task=train_src", *urls, *TINY, "--num_steps_stop=2"]
    processes = [launch(tmp_path, *words, environ=environ) for environ in cards]
    printed = [process.communicate(timeout=300)[0] for process in processes]
    consoles = [cloud.get(f"cards/console/rank_{i}.log").decode() for i in (0, 1)]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(printed + consoles)
    assert cloud.counted("GET", "/data/world.zip") == 1
    assert "rank 0 of 2" in consoles[0] and "rank 1 of 2" in consoles[1]
    assert iterations(cloud.get("cards/metrics.csv")) == [0, 1]
    assert "cards/GTA5_2_state.safetensors" in cloud.keys("cards/")


def test_processes_that_msrun_started(world, tmp_path):
    msrun = (sys.executable, "-m", "mindspore.parallel.cluster.run", "--worker_num=2", "--local_worker_num=2")
    msrun = (*msrun, "--join=True", f"--master_port={port()}", f"--log_dir={tmp_path / 'logs'}")
    words = ["--task=train_src", f"--data_url={world}", f"--train_url={tmp_path / 'out'}", *TINY, "--num_steps_stop=1"]
    environ = {
        "MA_RUN_METHOD": "msrun",
        "MA_NUM_GPUS": "2",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    finish(launch(tmp_path, *words, environ=environ, command=msrun))
    assert (tmp_path / "out" / "GTA5_1_state.safetensors").is_file()
    consoles = sorted(path.name for path in (tmp_path / "out" / "console").iterdir())
    assert consoles == ["rank_0.log", "rank_1.log", "scheduler.log"]


def test_the_platforms_cards_are_asked_for(world, tmp_path, monkeypatch):
    start, asked = boot_file(), []
    monkeypatch.setattr(start, "chips_seen", lambda: {"Ascend": "/dev/davinci0", "": "MA_NUM_GPUS"})
    monkeypatch.setattr(start, "run_program", lambda task, job, here, folder: asked.append(job.options.get("device")))
    words = ["--task=train_src", f"--work_dir={tmp_path}", f"--data_url={world}"]
    start.main(words)
    start.main([*words, "--device=CPU"])
    assert asked == ["Ascend", "CPU"]


def test_processes_of_a_job_meet_at_a_port_of_their_own(tmp_path, monkeypatch):
    start = boot_file()
    jobs = [start.read_job([f"--work_dir={tmp_path}", f"--train_url=obs://bucket/{name}"]) for name in "aab"]
    first, again, other = (start.port_of(job) for job in jobs)
    assert first == again != other and 10000 <= first < 30000
    monkeypatch.setenv("MS_SCHED_PORT", "4321")
    assert start.port_of(jobs[0]) == 4321


def test_local_channels_are_meant_from_where_the_job_is_started(tmp_path, monkeypatch):
    """The program itself starts in the code's folder."""
    monkeypatch.chdir(tmp_path)
    job = boot_file().read_job(["--train_url=out", "--data_url", "../data", "--checkpoint_url=obs://a/b"])
    assert (job.train_url, job.checkpoint_url) == (str(tmp_path / "out"), "obs://a/b")
    assert Path(job.data_url).is_absolute()


def test_an_old_python_is_refused_in_one_sentence():
    source = START.read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
    program = "import sys; sys.version_info = (3, 9, 7); exec(compile(sys.stdin.read(), 'start.py', 'exec'))"
    done = subprocess.run([sys.executable, "-c", program], input=source, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: Python 3.9 is too old, 3.11 is needed; choose an image with it\n"


def test_images_get_everything_but_mindspore():
    wanted, given = ((ROOT / name).read_text().splitlines() for name in ("requirements.txt", "pip-requirements.txt"))
    pins = [line for line in wanted if line[0] != "#"]
    assert pins[0].startswith("mindspore==") and [line for line in given if line[0] != "#"] == pins[1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--learning_rat=1", "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ("--learning_rate=fast", "learning_rate must be a number, not 'fast'"),
        ("learning_rate=1", "'learning_rate' is not an option; write --key=value"),
        ("--width=4 --width=5", "option --width is given twice"),
        ("--sync_seconds=soon", "sync_seconds: must be a number, not 'soon'"),
        ("--task=fly", "task: must be one of train_adv, train_src, eval, rank, export, not 'fly'"),
        ("--data_url=obs:// --train_url=obs://bucket/x", "obs://: names no bucket; write obs://BUCKET/FOLDER"),
        ("--train_url=obs://", "obs://: names no bucket"),
        ("--data_url=obs://bucket/nothing", "obs://bucket/nothing: holds nothing"),
        ("--data_url=/no/such/folder", "/no/such/folder: does not exist; check the job's inputs"),
        ("--checkpoint_url=obs://bucket/nothing.ckpt", "obs://bucket/nothing.ckpt: does not exist"),
        ("--train_url=obs://no-such-bucket/x", "does not exist (404 NoSuchBucket)"),
        ("--train_url=/proc/nothing", "train_url: cannot be written; nothing was computed"),
    ],
)
def test_wrong_input_is_one_sentence(cloud, tmp_path, monkeypatch, capsys, words, message):
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    assert errors.run(boot_file().main, [f"--work_dir={tmp_path}", *words.split()]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("error: ") == 1 and len(printed.splitlines()) == 1


def test_a_train_url_without_permission_is_refused_before_the_work(cloud, tmp_path):
    cloud.faults.add("PUT", "/closed/", 403)
    words = ["--data_url=obs://bucket/data", "--train_url=obs://bucket/closed"]
    printed = finish(launch(tmp_path, *words, environ=cloud.environment), code=2)
    assert "error: train_url: cannot be written; nothing was computed" in printed and "no permission" in printed
    assert not (tmp_path / "work/modelarts/inputs").exists()


def test_the_wrong_moxing(tmp_path):
    for name in ("moxing", "obs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("" if name == "moxing" else "raise ImportError")
    printed = finish(launch(tmp_path, "--data_url=obs://bucket/x", environ={"PYTHONPATH": str(tmp_path)}), code=2)
    assert "the installed 'moxing' is another program than Huawei's" in printed and "Traceback" not in printed
