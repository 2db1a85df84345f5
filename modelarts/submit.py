"""Creates a ModelArts training job from a small YAML file and follows it: ``python modelarts/submit.py job.yaml``.

Keys come from the SDK's own chain: HUAWEICLOUD_SDK_AK, _SK and _PROJECT_ID, a credentials file, or the cloud host; for
the code folder's upload from OBS_ACCESS_KEY_ID, OBS_SECRET_ACCESS_KEY and OBS_ENDPOINT. Never from the YAML file.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model_utils.cloud.mirror import say
from model_utils.cloud.object_store import split_url
from model_utils.config import load_config
from model_utils.config_text import load_yaml
from model_utils.errors import UserError, run
from model_utils.moxing_adapter import sync_out
from model_utils.own_options import OwnOptions

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ("name", "flavor", "code")
GROUPS = ("inputs", "outputs", "parameters", "environment", "request")
KEYS = (*NEEDED, "description", "region", "endpoint", "image", "engine", "pool", "nodes", "task", *GROUPS)
KEYS = (*KEYS, "retries", "logs")
STARTS = ("config_path", "sync_seconds", "work_dir", "device_num")  # parameters of the boot file itself
ENDED = {"Completed": 0, "Failed": 1, "Terminated": 1, "Abnormal": 1}  # phase -> exit code
SECRET = re.compile(r"secret|password|token|access_?key|(^|_)(ak|sk)$", re.I)


def read_job(path: Path) -> dict[str, Any]:
    """The file's keys, checked.

    Raises:
        UserError: unknown or missing keys, addresses without bucket, wrong hyper-parameters, anything like a password.
    """
    job = load_yaml(path)
    for key in job:
        if key not in KEYS:
            raise UserError(f"{path}: unknown key '{key}'; known are {', '.join(KEYS)}")
    for key in NEEDED:
        if not job.get(key):
            raise UserError(f"{path}: key '{key}' is missing")
    if bool(job.get("image")) == bool(job.get("engine")):
        raise UserError(f"{path}: give either 'image' (your own) or 'engine' (an engine_id of the platform)")
    if not re.fullmatch(r"[\w-]{1,64}", str(job["name"]), re.ASCII):
        raise UserError(f"{path}: name must be 1 to 64 letters, digits, _ or -, not '{job['name']}'")
    for group in GROUPS:
        job[group] = _checked_group(path, group, job.get(group) or {})
    for url in (job["code"], job.get("logs") or job["code"], *job["inputs"].values(), *job["outputs"].values()):
        split_url(str(url))
    own = {key: value for key, value in job["parameters"].items() if not key.endswith("_url") and key not in STARTS}
    if job.get("task", "train_adv") != "export":
        load_config([f"--{key}={value}" for key, value in own.items()])
    return job


def _checked_group(path: Path, group: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: {group} must be lines of 'name: value'")
    for key in values:
        if SECRET.search(str(key)):
            raise UserError(f"{path}: {group} holds '{key}'; keys and passwords do not belong into a job file")
    return values


def make_request(job: dict[str, Any]) -> dict[str, Any]:
    """The body of POST /v2/{project_id}/training-jobs. ``job["request"]`` is laid over it, for what is not foreseen."""
    code = _object_path(job["code"])
    boot_file = f"{code}modelarts/start.py"
    parameters = {"task": job.get("task", "train_adv"), **job["parameters"]}
    algorithm: dict[str, Any] = {
        "code_dir": code,
        "parameters": [{"name": key, "value": _text(value)} for key, value in parameters.items()],
        "inputs": [_channel(name, url) for name, url in job["inputs"].items()],
        "outputs": [_channel(name, url) for name, url in job["outputs"].items()],
        "environments": {key: _text(value) for key, value in job["environment"].items()},
    }
    if job.get("image"):
        folder = code.rstrip("/").rpartition("/")[2]
        # The platform appends the parameters to the last command.
        algorithm["command"] = f"python ${{MA_JOB_DIR}}/{folder}/modelarts/start.py"
        algorithm["engine"] = {"image_url": job["image"]}
    else:
        algorithm.update(boot_file=boot_file, engine={"engine_id": job["engine"]})
    spec: dict[str, Any] = {"resource": {"flavor_id": job["flavor"], "node_count": int(job.get("nodes", 1))}}
    if job.get("pool"):
        spec["resource"]["pool_id"] = job["pool"]
    if job.get("logs"):
        spec["log_export_path"] = {"obs_url": job["logs"]}
    metadata: dict[str, Any] = {"name": job["name"], "description": job.get("description", "")}
    if job.get("retries"):
        metadata["annotations"] = {"fault-tolerance/job-retry-num": str(job["retries"])}
    return _merged({"kind": "job", "metadata": metadata, "algorithm": algorithm, "spec": spec}, job["request"])


def send_code(url: str) -> int:
    """Sends this project's files (those that git knows, without tests) to ``url``; returns how many have changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise UserError(f"{ROOT}: is no git checkout, which says what the code is; send it yourself and use --no_code")
    skipped = ("tests/", "docs/", "benchmarks/", ".")
    names = [name for name in listed.stdout.split("\0") if name and not name.startswith(skipped)]
    return sync_out(ROOT, url, names=[name for name in names if (ROOT / name).is_file()])


def connect(job: dict[str, Any]):
    """The platform's client.

    Raises:
        UserError: the SDK is not installed, no credentials, or an unknown region.
    """
    try:
        from huaweicloudsdkcore.auth.provider import CredentialProviderChain
        from huaweicloudsdkcore.exceptions.exceptions import ApiValueError, SdkException
        from huaweicloudsdkmodelarts.v1 import ModelArtsClient
        from huaweicloudsdkmodelarts.v1.region.modelarts_region import ModelArtsRegion
    except ImportError:
        raise UserError("the ModelArts SDK is not installed; pip install -r requirements-modelarts.txt") from None
    try:
        credentials = CredentialProviderChain.get_basic_credential_provider_chain().get_credentials()
    except (SdkException, ApiValueError):
        raise UserError(
            "no credentials; set HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK and HUAWEICLOUD_SDK_PROJECT_ID"
        ) from None
    builder = ModelArtsClient.new_builder().with_credentials(credentials)
    if job.get("endpoint"):
        return builder.with_endpoint(job["endpoint"]).build()
    try:
        return builder.with_region(ModelArtsRegion.value_of(str(job.get("region")))).build()
    except KeyError:
        raise UserError(f"region: '{job.get('region')}' is not known to the SDK; give 'endpoint' instead") from None


def follow(client, job_id: str, seconds: float) -> int:
    """Prints every new phase until the job ends; 0 when it completed. Ctrl-C ends the following, not the job."""
    from huaweicloudsdkmodelarts.v1 import ShowTrainingJobDetailsRequest

    phase = ""
    while phase not in ENDED:
        answer = _call(lambda: client.show_training_job_details(ShowTrainingJobDetailsRequest(job_id)), patient=True)
        if answer.status.phase != phase:
            phase = answer.status.phase
            say(f"{time.strftime('%H:%M:%S')} {phase}")
        if phase not in ENDED:
            time.sleep(seconds)
    return ENDED[phase]


def main(argv: list[str] | None = None) -> int:
    """Submits a training job."""
    parser = OwnOptions(prog="python modelarts/submit.py", description=main.__doc__)
    parser.add_argument("job", type=Path, metavar="JOB.yaml")
    parser.add_argument("--dry_run", action="store_true", help="print the request and send nothing")
    parser.add_argument("--no_code", action="store_true", help="the code is in OBS already")
    parser.add_argument("--no_wait", action="store_true", help="do not follow the job")
    parser.add_argument("--seconds", type=float, default=15.0, help="between two looks at the job")
    options = parser.parse_args(argv)
    job = read_job(options.job)
    request = make_request(job)
    if options.dry_run:
        print(json.dumps(request, indent=2, ensure_ascii=False))
        return 0
    client = connect(job)
    if not options.no_code:
        say(f"{send_code(job['code'])} files sent to {job['code']}")
    from huaweicloudsdkmodelarts.v1 import CreateTrainingJobRequest

    answer = _call(lambda: client.create_training_job(CreateTrainingJobRequest(body=request)))
    job_id = answer.metadata.id
    say(f"job {job_id} ({job['name']})")
    return 0 if options.no_wait else follow(client, job_id, options.seconds)


def _call(action, patient: bool = False):
    """One request; a failure is a UserError, after a few attempts if ``patient``."""
    from huaweicloudsdkcore.exceptions.exceptions import SdkException, ServiceResponseException

    def may_pass(error: BaseException) -> bool:
        is_final = isinstance(error, ServiceResponseException) and error.status_code < 500
        return isinstance(error, SdkException) and not is_final

    attempts = {"stop": stop_after_attempt(6 if patient else 1), "wait": wait_exponential(0.2)}
    try:
        return Retrying(**attempts, retry=retry_if_exception(may_pass), reraise=True)(action)
    except SdkException as error:
        text = getattr(error, "error_msg", None) or getattr(error, "err_msg", None) or str(error)
        code = getattr(error, "status_code", "no answer")
        text = " ".join(str(text).split())[:300]
        raise UserError(f"ModelArts: {code}: {text}; check credentials, project, region and names") from None


def _channel(name: str, url: str) -> dict[str, Any]:
    return {"name": name, "access_method": "parameter", "remote": {"obs": {"obs_url": _object_path(url)}}}


def _object_path(url: str) -> str:
    """``obs://bucket/folder`` -> ``/bucket/folder/``, as the platform writes folders."""
    bucket, key = split_url(str(url))
    return f"/{bucket}/{key.strip('/')}/".replace("//", "/")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merged(below: dict, above: dict) -> dict:
    both = {key: _merged(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(below[key], dict)}
    return {**below, **above, **both}


if __name__ == "__main__":
    sys.exit(run(main))
