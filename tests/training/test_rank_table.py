"""Rank tables: what is read, what is refused; and the command that follows from them."""

import json
import signal
import socket
from pathlib import Path

import pytest

from mindvox.config import ROOT
from mindvox.errors import InputError, Stopped, UsageError
from mindvox.training import launch
from mindvox.training.launch import Follower, Job, _explain, bound_cores, choose_port, choose_table, main
from mindvox.training.rank_table import RankTable, local_addresses, read_rank_table, table_of_devices


def write_table(path: Path, servers: dict[str, list[tuple]], **changes) -> Path:
    """Write a table of {server: [(device_id, rank_id), ...]} with top-level keys changed or, given None, left out."""
    entries = [
        {"server_id": server, "device": [{"device_id": device, "rank_id": rank} for device, rank in devices]}
        for server, devices in servers.items()
    ]
    table = {"version": "1.0", "server_count": str(len(servers)), "server_list": entries, "status": "completed"}
    table = {key: value for key, value in {**table, **changes}.items() if value is not None}
    path.write_text(json.dumps(table))
    return path


@pytest.fixture
def two_servers(tmp_path) -> RankTable:
    servers = {"10.0.0.2": [("6", "3"), ("4", "2")], "10.0.0.1": [("4", "0"), ("6", "1")]}
    return read_rank_table(write_table(tmp_path / "table.json", servers))


def test_example_is_two_devices_of_this_machine():
    table = read_rank_table(ROOT / "hparams" / "rank_table_cpu_2.json")
    assert table.num_ranks == 2
    assert table.own_server().device_ids == table.own_server().ranks == [0, 1]


def test_servers_and_devices_come_in_the_order_of_their_ranks(two_servers):
    assert [(server.server_id, server.ranks, server.device_ids) for server in two_servers.servers] == [
        ("10.0.0.1", [0, 1], [4, 6]),
        ("10.0.0.2", [2, 3], [4, 6]),
    ]


def test_numbers_may_be_numbers_and_optional_keys_may_be_absent(tmp_path):
    path = write_table(tmp_path / "table.json", {"a": [(0, 0)]}, status=None, server_count=None)
    assert read_rank_table(path).num_ranks == 1


@pytest.mark.parametrize(
    ("servers", "said"),
    [
        ({"a": [("0", "0"), ("1", "0")]}, "every rank_id once, got '0 twice'"),
        ({"a": [("0", "0"), ("1", "2")]}, "the rank_id 0 to 1, got 'none with 1'"),
        ({"a": [("0", "0"), ("0", "1")]}, "every device_id of server a once, got '0 twice'"),
        ({"a": [("0", "0"), ("1", "1")], "b": [("0", "2")]}, "as many devices on every server, got {'a': 2, 'b': 1}"),
        (
            {"a": [("0", "0"), ("1", "2")], "b": [("0", "1"), ("1", "3")]},
            r"consecutive rank_id on server a, got \[0, 2",
        ),
        ({"a": [("x", "0")]}, "device_id to be a whole number such as '0', got 'x'"),
        ({"a": [("0", None)]}, "rank_id to be a whole number such as '0', got None"),
        ({"a": [("0", -1)]}, "rank_id to be a whole number such as '0', got -1"),
        ({"a": [("0", True)]}, "rank_id to be a whole number such as '0', got True"),
        ({"": [("0", "0")]}, "server_id to be an address, got ''"),
        ({"a": []}, r"device to be a list of objects, got \[\]"),
    ],
)
def test_table_that_makes_no_sense_is_refused(tmp_path, servers, said):
    with pytest.raises(InputError, match=f"table.json: expected {said}"):
        read_rank_table(write_table(tmp_path / "table.json", servers))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "2.0"}, "expected version '1.0', got '2.0'"),
        ({"version": None}, "expected version '1.0', got None"),
        ({"status": "initializing"}, "expected status 'completed'"),
        ({"server_count": "2"}, "expected server_count 1, as server_list has, got '2'"),
        ({"server_list": "a"}, "expected server_list to be a list of objects, got 'a'"),
        ({"server_list": ["a"]}, "expected server_list to be a list of objects"),
    ],
)
def test_table_of_another_form_is_refused(tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        read_rank_table(write_table(tmp_path / "table.json", {"a": [("0", "0")]}, **changes))


@pytest.mark.parametrize(("content", "said"), [("{", "expected JSON"), ("[]", "expected a JSON object, got")])
def test_file_that_is_no_table_is_refused(tmp_path, content, said):
    (tmp_path / "table.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_rank_table(tmp_path / "table.json")


def test_own_server_is_found_by_address_or_name(two_servers):
    assert two_servers.own_server("", frozenset({"10.0.0.2", "192.168.0.1"})).ranks == [2, 3]
    assert two_servers.own_server("10.0.0.1", frozenset({"10.0.0.2"})).ranks == [0, 1]
    with pytest.raises(UsageError, match="none of them is this machine. Say which: --server_id"):
        two_servers.own_server("", frozenset({"10.0.0.3"}))
    with pytest.raises(UsageError, match="several of them are this machine"):
        two_servers.own_server("", frozenset({"10.0.0.1", "10.0.0.2"}))
    with pytest.raises(UsageError, match="--server_id: expected one of the rank table's 10.0.0.1, 10.0.0.2, got 7"):
        two_servers.own_server("7")


def test_loopback_does_not_say_which_server_this_is():
    assert "127.0.0.1" not in local_addresses() and socket.gethostname() in local_addresses()


def test_second_server_joins_the_first_ones_scheduler(two_servers, tmp_path):
    words = Job(two_servers, two_servers.servers[1], 8118, "Ascend").command(tmp_path, ["--seed=1"])
    for word in ("--worker_num=4", "--local_worker_num=2", "--node_rank=1", "--master_addr=10.0.0.1", "--join=True"):
        assert word in words
    assert words[-3:] == ["python", str(ROOT / "train.py"), "--seed=1"]
    assert not any(word.startswith("--bind_core") for word in words)


def test_device_ids_other_than_0_to_n_are_made_visible_on_ascend_only(two_servers):
    server = two_servers.servers[0]
    on_ascend = Job(two_servers, server, 8118, "Ascend").environment({"PATH": "/bin", "RANK_TABLE_FILE": "x"})
    assert on_ascend["ASCEND_RT_VISIBLE_DEVICES"] == "4,6"
    assert "RANK_TABLE_FILE" not in on_ascend and "OMP_NUM_THREADS" not in on_ascend
    on_cpu = Job(two_servers, server, 8118, "CPU").environment({"PATH": "/bin", "MS_CPU_COMM_OP_TIMEOUT": "77"})
    assert "ASCEND_RT_VISIBLE_DEVICES" not in on_cpu
    assert on_cpu["MS_CPU_COMM_OP_TIMEOUT"] == "77" and int(on_cpu["OMP_NUM_THREADS"]) >= 1


def test_cores_are_shared_out():
    assert json.loads(bound_cores(2, [0, 1, 4, 5, 6])) == {"device0": ["0", "1"], "device1": ["4", "5"]}
    assert bound_cores(3, [0, 1]) == "False"


def test_taken_port_is_an_error_unless_another_will_do():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken.*--master_port"):
            choose_port(port, may_change=True)
    assert choose_port(None, may_change=True) >= 8118


def test_devices_of_this_machine_make_a_table(tmp_path):
    assert table_of_devices(tmp_path) is None
    for name in ("davinci_manager", "davinci10", "davinci2", "null"):
        (tmp_path / name).touch()
    (server,) = table_of_devices(tmp_path).servers
    assert (server.device_ids, server.ranks) == ([2, 10], [0, 1])


# second variants: the environment's table behind options; no device here
def test_table_is_the_first_argument_else_the_environments(two_servers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK_TABLE_FILE", "environment.json")
    for words, name in ((["argument.json"], "argument"), (["--channels=16"], "environment"), ([], "environment")):
        with pytest.raises(InputError, match=f"{name}.json: no such file"):
            main(words)
    monkeypatch.setenv("RANK_TABLE_FILE", "")
    monkeypatch.setattr(launch, "table_of_devices", lambda: None)
    with pytest.raises(UsageError, match="no rank table: give RANK_TABLE_FILE as first argument or"):
        main(["--device_target=CPU"])
    monkeypatch.setattr(launch, "table_of_devices", lambda: two_servers)
    assert choose_table("") is two_servers


@pytest.mark.parametrize(
    ("failure", "kind", "said"),
    [
        ((1, -signal.SIGKILL), InputError, "rank 1 was killed by SIGKILL .out of memory.*(?s:.)*last words"),
        ((1, 1), InputError, "rank 1 ended with exit code 1; all others were stopped"),
        ((1, 2), UsageError, "rank 1 ended with exit code 2"),
        ((1, 143), Stopped, "rank 1 ended with exit code 143: stopped from another server"),
        ((None, 1), InputError, "msrun ended with exit code 1(?s:.)*port in use"),
        (None, InputError, "msrun ended with exit code 1"),
    ],
)
def test_failure_is_explained_by_rank_and_log(tmp_path, failure, kind, said):
    (tmp_path / "train.log").write_text("first\n" * 50 + "last words\n")
    (tmp_path / "msrun.log").write_text("port in use\n")
    with pytest.raises(kind, match=said) as caught:
        _explain(failure, {1: tmp_path / "train.log"}, tmp_path / "msrun.log")
    assert str(caught.value).count("first") < 30
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["nowhere.json"], InputError, "nowhere.json: no such file"),
        (["nowhere.json", "--chanels=8"], UsageError, "unknown key 'chanels'; did you mean 'channels'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(tmp_path, monkeypatch, arguments, kind, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said):
        main(arguments)
    assert not list(tmp_path.iterdir())


# MindSpore's own lines at the end of a run (issue 12, B17). Second variants: errors, a line in two pieces, a line
# without an end, the log of a worker that failed, a level that the user set.
INFO = "[INFO] DISTRIBUTED(21394,7f1b649fa6c0,python):2026-11-26-14:41:01.267.983 [tcp_client.cc:367] Start] x\n"


def copied(path: Path, *pieces: str, capsys) -> str:
    path.write_text("")
    follower = Follower(path)
    for piece in pieces:
        with open(path, "a") as stream:
            stream.write(piece)
        follower.copy()
    follower.copy(at_end=True)
    return capsys.readouterr().out


def test_what_mindspore_logs_while_it_shuts_down_is_not_shown_but_its_errors_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GLOG_v", "3")
    error = INFO.replace("INFO", "ERROR")
    assert (
        copied(tmp_path / "log", f"trained\n{INFO[:30]}", f"{INFO[30:]}{error}", capsys=capsys) == f"trained\n{error}"
    )
    warned = INFO.replace("INFO", "WARNING")
    assert copied(tmp_path / "log", f"[INFO] ours\n{warned}no end", capsys=capsys) == "[INFO] ours\nno end"
    monkeypatch.setenv("GLOG_v", "2")
    assert copied(tmp_path / "log", INFO, warned, capsys=capsys) == warned


def test_the_end_of_a_failed_workers_log_is_not_hidden_behind_such_lines(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOG_v", "3")
    (tmp_path / "log").write_text("error: the reason.\n" + 30 * INFO)
    with pytest.raises(InputError, match="error: the reason"):
        _explain((1, 1), {1: tmp_path / "log"}, tmp_path / "msrun.log")
