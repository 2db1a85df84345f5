"""A cloud job's command line, inputs and outputs: addresses become local paths, earlier results come back."""

import os
import re
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model_utils.cloud.mirror import say
from model_utils.cloud.object_store import is_url
from model_utils.config import SAVED_NAME
from model_utils.errors import UserError
from model_utils.files import write_json
from model_utils.local_adapter import Place
from model_utils.moxing_adapter import sync_in, sync_out

WEIGHTS = (".ckpt", ".safetensors", ".pth", ".pkl")
SNAPSHOT_FILE = re.compile(r".+_(?P<iteration>\d+)(?:_(?P<part>[A-Za-z]\w*))?\.(?:ckpt|safetensors)")
GROWING = (".txt", ".csv", ".json", ".yaml", ".log")  # a restarted run appends to them
CHECKPOINT_CHANNELS = ("checkpoint_url", "ckpt_url", "pretrain_url")
IGNORED = ("init_method", "rank", "world_size", "enable_modelarts")  # a platform may add them


@dataclass
class Job:
    """The command line, taken apart."""

    task: str
    data_url: str
    checkpoint_url: str
    train_url: str
    work: Path  # local folder for what is copied
    seconds: float  # between two looks for new results
    devices: int  # processes to start on this machine; 0 = as many as it has cards
    options: dict[str, str]  # the program's own


def read_job(argv: list[str]) -> Job:
    """Takes ``--key=value`` and ``--key value`` apart. A channel may also be an environment variable.

    Raises:
        UserError: a word that is no option, an option that is given twice, a number that is none.
    """
    options = _split(argv)
    for name in IGNORED:
        if name in options:
            say(f"ignored: --{name}={options.pop(name)}")

    def channel(*names: str) -> str:
        values = [options.pop(name, "") or os.environ.get(name, "") for name in names]
        found = next(filter(None, values), "")
        return str(Path(found).absolute()) if found and not is_url(found) else found  # the program starts elsewhere

    def number(name: str, default: str, form: str) -> str:
        value = options.pop(name, default)
        if not re.fullmatch(form, value):
            raise UserError(f"{name}: must be a number, not '{value}'")
        return value

    cache = Path("/cache")  # ModelArts' large disk
    work = options.pop("work_dir", "") or (cache if os.access(cache, os.W_OK) else "output")
    return Job(
        options.pop("task", "train_adv"),
        channel("data_url"),
        channel(*CHECKPOINT_CHANNELS),
        channel("train_url"),
        Path(work).absolute() / "modelarts",
        float(number("sync_seconds", "30", r"\d+(\.\d+)?")),
        int(number("device_num", "0", r"\d+")),
        options,
    )


def as_words(options: dict[str, str]) -> list[str]:
    """The options as a command line."""
    return [f"--{key}={value}" for key, value in options.items()]


def open_output(job: Job, here: Place) -> Path | None:
    """The local folder of the results, with what an earlier attempt has left at train_url. None without train_url.

    Raises:
        UserError: train_url cannot be written; said before anything is computed.
    """
    if not job.train_url:
        return None
    folder, note = Path(job.train_url), {"time": time.ctime(), "task": job.task, "options": job.options}
    if is_url(job.train_url):
        folder = job.work / "results" / _folder_name(job.train_url)
        if here.nodes > 1:  # each attempt its own: all machines must go on from the same snapshot, that at train_url
            attempt = [os.environ.get(name, "0") for name in ("MA_SCHEDULE_CNT", "MA_PROC_START_CNT")]
            folder = folder.with_name("_".join([folder.name, *attempt]))
        sync_in(job.train_url, folder, choose=lambda names: worth_having(names, folder), may_be_empty=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if here.is_first:
            write_json(folder / "job.json", note)
            if is_url(job.train_url):
                sync_out(folder / "job.json", f"{job.train_url.rstrip('/')}/job.json")
    except (OSError, UserError) as error:
        reason = f"{folder}: {error.strerror}" if isinstance(error, OSError) else error
        raise UserError(f"train_url: cannot be written; nothing was computed ({reason})") from error
    return folder


def worth_having(names: Iterable[str], folder: Path) -> list[str]:
    """What a restarted run needs and this machine has not: the two newest snapshots, and files that it appends to."""
    found = {name: SNAPSHOT_FILE.fullmatch(name) for name in names}
    newest = sorted({int(match["iteration"]) for match in found.values() if match and match["part"] == "state"})[-2:]
    wanted = [
        name
        for name, match in found.items()
        if (int(match["iteration"]) in newest if match else name.endswith(GROWING))
    ]
    return [name for name in wanted if not (folder / name).exists()]  # what is here may be newer


def bring_inputs(job: Job) -> None:
    """Copies what the options name by an address, and puts the local path into its place.

    Raises:
        UserError: as ``sync_in``; or a checkpoint folder that does not hold one weight file.
    """
    channels = {"data_path": job.data_url, "restore_from": job.checkpoint_url}
    job.options.update({key: url for key, url in channels.items() if url})
    for key, value in job.options.items():
        if not is_url(value) and not channels.get(key):
            continue
        parent, _, name = value.rpartition("/")
        folder = job.work / "inputs" / _folder_name(value)
        if key == "restore_from" and is_url(value) and name.endswith(WEIGHTS):
            beside = (name, SAVED_NAME)  # the configuration of these weights
            path = sync_in(parent, folder, choose=lambda names, beside=beside: [n for n in names if n in beside]) / name
            if not path.is_file():
                raise UserError(f"{value}: does not exist; check the address")
        else:
            path = sync_in(value, folder)
        job.options[key] = str({"data_path": _data_root, "restore_from": _weights_in}.get(key, Path)(path))


def _folder_name(address: str) -> str:
    """Other addresses get other folders, so that nothing is mixed."""
    return f"{re.sub(r'[^0-9A-Za-z]+', '_', address).strip('_')[-80:]}_{zlib.crc32(address.encode()):08x}"


def _data_root(folder: Path) -> Path:
    """The folder that holds GTA5/ or Cityscapes/: ``folder`` or one in it."""
    for candidate in (folder, *sorted(folder.iterdir())):
        if (candidate / "GTA5").is_dir() or (candidate / "Cityscapes").is_dir():
            return candidate
    return folder


def _weights_in(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(child for child in path.iterdir() if child.suffix in WEIGHTS)
    if len(files) != 1:
        raise UserError(f"{path}: holds {len(files)} weight files; give the address of one of them")
    return files[0]


def _split(argv: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("--"):
            raise UserError(f"'{name}' is not an option; write --key=value")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        key = name[2:].replace("-", "_")
        if key in options:
            raise UserError(f"option --{key} is given twice")
        options[key] = value
    return options
