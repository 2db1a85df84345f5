"""Submitting a job: the request, following it at a stand-in of the platform, and what a job file must not hold."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_utils import errors
from tests.cloud import running_cloud

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"HUAWEICLOUD_SDK_AK": "the-key", "HUAWEICLOUD_SDK_SK": "the-secret", "HUAWEICLOUD_SDK_PROJECT_ID": "project"}
JOB = """
name: test-job
endpoint: {endpoint}
image: swr.example.com/group/advnet:1
flavor: eight.cards
pool: pool-7
nodes: 2
code: obs://bucket/code/advnet/
task: train_src
inputs: {{data_url: obs://bucket/data}}
outputs: {{train_url: obs://bucket/results/}}
parameters: {{learning_rate: 1.0e-4, flip: true}}
environment: {{GLOG_v: 2}}
retries: 3
logs: obs://bucket/logs
request: {{spec: {{auto_stop: {{duration: 24, time_unit: HOURS}}}}}}
"""


@pytest.fixture
def platform():
    """A stand-in of the service: ``phases`` are given out one by one, ``status`` != 200 is an error."""
    state = {"requests": [], "phases": ["Creating", "Running", "Running", "Completed"], "failures": [], "post": 201}

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, content: dict) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state["requests"].append((self.path, body, self.headers["Authorization"]))
            if state["post"] >= 300:
                return self.answer(state["post"], {"error_code": "ModelArts.0104", "error_msg": "flavor not found"})
            return self.answer(201, {"kind": "job", "metadata": {"id": "job-1"}, "status": {"phase": "Creating"}})

        def do_GET(self):
            if state["failures"]:
                return self.answer(state["failures"].pop(0), {"error_code": "x", "error_msg": "busy"})
            phases = state["phases"]
            phase = phases.pop(0) if len(phases) > 1 else phases[0]
            return self.answer(200, {"kind": "job", "metadata": {"id": "job-1"}, "status": {"phase": phase}})

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state["endpoint"] = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()


def submit(folder: Path, text: str, *words: str, code: int = 0, environ: dict | None = None) -> str:
    (folder / "job.yaml").write_text(text, encoding="utf-8")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HUAWEICLOUD_", "OBS_", "S3_"))}
    command = [sys.executable, str(ROOT / "modelarts" / "submit.py"), str(folder / "job.yaml"), *words]
    environ = {**clean, "HOME": str(folder), **(environ or {})}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "the-secret" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_dry_run_prints_the_request(tmp_path):
    request = json.loads(submit(tmp_path, JOB.format(endpoint="http://127.0.0.1:9"), "--dry_run"))
    channel = {"access_method": "parameter", "remote": {"obs": {"obs_url": "/bucket/data/"}}}
    assert request["metadata"]["annotations"] == {"fault-tolerance/job-retry-num": "3"}
    assert request["algorithm"]["command"] == "python ${MA_JOB_DIR}/advnet/modelarts/start.py"
    assert request["algorithm"]["engine"] == {"image_url": "swr.example.com/group/advnet:1"}
    assert request["algorithm"]["inputs"] == [{"name": "data_url", **channel}]
    parameters = {item["name"]: item["value"] for item in request["algorithm"]["parameters"]}
    assert parameters == {"task": "train_src", "learning_rate": "0.0001", "flip": "true"}
    assert request["spec"]["resource"] == {"flavor_id": "eight.cards", "node_count": 2, "pool_id": "pool-7"}
    assert request["spec"]["log_export_path"] == {"obs_url": "obs://bucket/logs"}
    assert request["spec"]["auto_stop"]["duration"] == 24


def test_the_example_file_is_valid(tmp_path):
    text = (ROOT / "modelarts" / "job.yaml").read_text(encoding="utf-8").replace("image: swr", "engine: swr")
    request = json.loads(submit(tmp_path, text, "--dry_run"))
    assert request["algorithm"]["boot_file"] == "/bucket/code/advnet/modelarts/start.py"


@pytest.mark.slow
def test_a_job_is_created_and_followed_to_its_end(platform, tmp_path):
    platform["failures"] = [503, 500]
    with running_cloud() as cloud:
        text = JOB.format(endpoint=platform["endpoint"])
        printed = submit(tmp_path, text, "--seconds=0.05", environ={**KEYS, **cloud.environment})
        sent = cloud.keys("code/advnet/")
        assert {"code/advnet/modelarts/start.py", "code/advnet/src/training/run.py"} <= set(sent)
        assert not [key for key in sent if "/tests/" in key or "/." in key]
    (path, body, signature), *others = platform["requests"]
    assert path == "/v2/project/training-jobs" and not others
    assert body == json.loads(submit(tmp_path, text, "--dry_run"))
    assert "Access=the-key" in signature
    lines = [line.split()[-1] for line in printed.splitlines()]
    assert lines[-3:] == ["Creating", "Running", "Completed"]


def test_a_failed_job_is_a_failure(platform, tmp_path):
    platform["phases"] = ["Failed"]
    submit(tmp_path, JOB.format(endpoint=platform["endpoint"]), "--no_code", code=1, environ=KEYS)


def test_a_refused_request_is_one_sentence(platform, tmp_path):
    platform["post"] = 400
    printed = submit(tmp_path, JOB.format(endpoint=platform["endpoint"]), "--no_code", code=2, environ=KEYS)
    assert "error: ModelArts: 400: flavor not found; check" in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flavor: eight.cards", "", "key 'flavor' is missing"),
        ("flavor:", "flavour:", "unknown key 'flavour'"),
        ("image:", "engine: 7\nimage:", "give either 'image' (your own) or 'engine'"),
        ("learning_rate", "learning_rat", "unknown key 'learning_rat'; did you mean 'learning_rate'?"),
        ("GLOG_v", "SECRET_ACCESS_KEY", "keys and passwords do not belong into a job file"),
        ("obs://bucket/data", "/bucket/data", "/bucket/data: names no bucket"),
        ("name: test-job", "name: a job", "name must be 1 to 64 letters"),
        ("retries: 3", "retries: [", "is not valid YAML"),
        ("{{", "{{", "no credentials; set HUAWEICLOUD_SDK_AK"),
    ],
)
def test_wrong_job_files_are_one_sentence(tmp_path, monkeypatch, capsys, old, new, message):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no credentials file
    spec = importlib.util.spec_from_file_location("submit", ROOT / "modelarts" / "submit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "job.yaml").write_text(JOB.replace(old, new).format(endpoint="http://127.0.0.1:9"), encoding="utf-8")
    assert errors.run(module.main, [str(tmp_path / "job.yaml"), "--no_code"]) == 2
    assert message in capsys.readouterr().err
