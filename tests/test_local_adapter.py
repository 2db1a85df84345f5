"""Who am I among the processes: what every launcher puts into the environment."""

import importlib.util
import json
import time
from pathlib import Path

import pytest

from model_utils.errors import UserError
from model_utils.local_adapter import device_id, device_num, find_place, rank_id, rank_table

ROOT = Path(__file__).resolve().parent.parent
TWO_MACHINES = {"MA_NUM_HOSTS": "2", "MA_NUM_GPUS": "8", "VC_TASK_INDEX": "1", "VC_WORKER_HOSTS": "first, second"}
MSRUN = {"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "4", "RANK_SIZE": "4", "RANK_ID": "3", "DEVICE_ID": "1"}
MPIRUN = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}


@pytest.mark.parametrize(
    ("environ", "started_by", "rank", "ranks", "chip"),
    [
        ({}, "", 0, 1, 0),
        (MSRUN, "msrun", 3, 4, 1),
        (MPIRUN, "mpirun", 2, 4, 1),
        ({"RANK_ID": "5", "RANK_SIZE": "8", "ASCEND_DEVICE_ID": "5"}, "platform", 5, 8, 5),
        ({"RANK_ID": "9", "RANK_SIZE": "16", "DEVICE_ID": "1", **TWO_MACHINES}, "platform", 9, 16, 1),
        ({"MA_NUM_GPUS": "8"}, "", 0, 1, 0),
    ],
)
def test_every_launcher(environ, started_by, rank, ranks, chip):
    place = find_place(environ)
    assert (place.started_by, place.rank, place.ranks) == (started_by, rank, ranks)
    assert (rank_id(environ), device_num(environ), device_id(0, environ)) == (rank, ranks, chip)
    assert not place.is_scheduler


def test_machines_and_cards():
    place = find_place(TWO_MACHINES)
    assert (place.node, place.nodes, place.cards, place.hosts) == (1, 2, 8, ("first", "second"))
    assert not place.is_first and find_place({**TWO_MACHINES, "VC_TASK_INDEX": "0"}).is_first
    assert find_place({**TWO_MACHINES, "RANK_ID": "0", "RANK_SIZE": "16"}).is_first
    alone = find_place({"VC_TASK_INDEX": "3", "MA_NUM_GPUS": "0"})  # the index means nothing on one machine
    assert (alone.node, alone.nodes, alone.cards, alone.hosts) == (0, 1, 1, ())
    assert find_place({**MSRUN, "MS_ROLE": "MS_SCHED", "RANK_ID": "0"}).is_scheduler


def test_a_machine_starts_its_share_and_finds_the_others(tmp_path):
    spec = importlib.util.spec_from_file_location("start", ROOT / "modelarts" / "start.py")
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    words = start.msrun(find_place(TWO_MACHINES), 8, 12345, tmp_path / "logs")
    assert {"--worker_num=16", "--local_worker_num=8", "--master_addr=first", "--node_rank=1"} <= set(words)
    assert "--master_port=12345" in words
    cards = find_place({"RANK_ID": "9", "RANK_SIZE": "16", "DEVICE_ID": "1", **TWO_MACHINES})
    joined = start.cluster(cards, 12345)
    assert (joined["MS_SCHED_HOST"], joined["MS_WORKER_NUM"], joined["MS_NODE_ID"]) == ("first", "16", "9")
    with pytest.raises(UserError, match="VC_WORKER_HOSTS: is not set"):
        start.msrun(find_place({"MA_NUM_HOSTS": "2"}), 8, 12345, tmp_path)


ADDRESSES = [{"device_id": str(i), "rank_id": str(i), "device_ip": "10.0.0.1"} for i in range(2)]
SERVERS = {"version": "1.0", "status": "completed", "server_count": "1", "server_list": [{"device": ADDRESSES}]}
GROUPS = {"status": "completed", "group_count": "1", "group_list": [{"instance_list": [{"devices": ADDRESSES}]}]}


@pytest.mark.parametrize("table", [SERVERS, GROUPS], ids=["servers", "groups"])
def test_a_rank_table_in_a_file_or_folder_may_be_late(tmp_path, monkeypatch, table):
    path = tmp_path / "jobstart_hccl.json"  # as ModelArts calls it
    path.write_text(json.dumps({**table, "status": "initializing"}))
    environ = {"RANK_ID": "0", "RANK_SIZE": "2", "RANK_TABLE_FILE": str(path)}
    assert find_place(environ).ranks == 2
    with pytest.raises(UserError, match="is initializing with 2 devices, but RANK_SIZE is 2"):
        rank_table(environ, seconds=0)
    monkeypatch.setattr(time, "sleep", lambda _: path.write_text(json.dumps(table)))
    assert rank_table({**environ, "RANK_TABLE_FILE": str(tmp_path)}) == path
    assert rank_table(environ) == path and rank_table({"RANK_SIZE": "2"}) is None
    with pytest.raises(UserError, match="is completed with 2 devices, but RANK_SIZE is 4"):
        rank_table({**environ, "RANK_SIZE": "4"})
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"RANK_TABLE_FILE: .* cannot be read as a rank table"):
            rank_table(environ)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RANK_ID": "one", "RANK_SIZE": "2"}, "RANK_ID: must be a whole number, not 'one'"),
        ({"RANK_ID": "0"}, "RANK_SIZE: is not set although RANK_ID is"),
        ({"MA_NUM_GPUS": "many"}, "MA_NUM_GPUS: must be a whole number"),
    ],
)
def test_wrong_variables_are_named(environ, message):
    with pytest.raises(UserError, match=message):
        find_place(environ)
