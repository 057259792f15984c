"""Rank tables: the devices of the servers that train together (HCCL's JSON, version 1.0)."""

import ipaddress
import re
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import psutil  # a dependency of MindSpore

from mindvox.errors import InputError, UsageError
from mindvox.files import PathLike, read_json


@dataclass(frozen=True)
class Device:
    """One device: its index on its server, and its rank."""

    device_id: int
    rank: int


@dataclass(frozen=True)
class Server:
    """One server: its address, and its devices in the order of their ranks, which are consecutive."""

    server_id: str
    devices: tuple[Device, ...]

    @property
    def ranks(self) -> list[int]:
        """Ranks of its devices."""
        return [device.rank for device in self.devices]

    @property
    def device_ids(self) -> list[int]:
        """Indices of its devices."""
        return [device.device_id for device in self.devices]


@dataclass(frozen=True)
class RankTable:
    """The servers in the order of their ranks, each with the same number of devices."""

    servers: tuple[Server, ...]

    @property
    def num_ranks(self) -> int:
        """Total number of devices."""
        return sum(len(server.devices) for server in self.servers)

    def own_server(self, server_id: str = "", addresses: frozenset[str] = frozenset()) -> Server:
        """Return this machine's server.

        Args:
            server_id: its server_id; empty: the only server, or the one whose address is among `addresses`.
            addresses: names and addresses of this machine.

        Raises:
            UsageError: no server of the table matches, or several do.
        """
        known = ", ".join(server.server_id for server in self.servers)
        if server_id:
            found = [server for server in self.servers if server.server_id == server_id]
            if not found:
                raise UsageError(f"--server_id: expected one of the rank table's {known}, got {server_id}.")
            return found[0]
        if len(self.servers) == 1:
            return self.servers[0]
        found = [server for server in self.servers if server.server_id in addresses]
        if len(found) != 1:
            are = "several of them are" if found else "none of them is"
            raise UsageError(f"the rank table has the servers {known}: {are} this machine. Say which: --server_id=...")
        return found[0]


def table_of_devices(folder: PathLike = "/dev") -> Optional[RankTable]:
    """Return a table of all Ascend devices of this machine, found as files `davinci<number>`; None: no device.

    Args:
        folder: folder of the device files.
    """
    matches = (re.fullmatch(r"davinci(\d+)", path.name) for path in Path(folder).iterdir())
    device_ids = sorted(int(match[1]) for match in matches if match)
    devices = tuple(Device(device_id, rank) for rank, device_id in enumerate(device_ids))
    return RankTable((Server("127.0.0.1", devices),)) if devices else None


def local_addresses() -> frozenset[str]:
    """Return this machine's names, and the addresses of its interfaces except the loopback."""
    addresses = {address.address for of_one in psutil.net_if_addrs().values() for address in of_one}
    return frozenset(address for address in addresses if not _is_loopback(address)) | {
        socket.gethostname(),
        socket.getfqdn(),
    }


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def read_rank_table(path: PathLike) -> RankTable:
    """Read a rank table.

    Raises:
        InputError: it is missing, not JSON or of another version, or its servers, devices or ranks are inconsistent.
    """
    table = read_json(path)
    if not isinstance(table, dict):
        raise _wrong(path, "a JSON object", table)
    if table.get("version") != "1.0":
        raise _wrong(path, "version '1.0'", table.get("version"))
    if table.get("status", "completed") != "completed":
        raise _wrong(path, "status 'completed'", table["status"])
    servers = [_server(path, entry) for entry in _entries(path, "server_list", table)]
    _refuse_repeated(path, "server_id", [server.server_id for server in servers])
    if "server_count" in table and _number(path, "server_count", table) != len(servers):
        raise _wrong(path, f"server_count {len(servers)}, as server_list has", table["server_count"])
    ranks = sorted(rank for server in servers for rank in server.ranks)
    _refuse_repeated(path, "rank_id", ranks)
    if ranks != list(range(len(ranks))):
        missing = next(rank for rank in range(len(ranks)) if rank not in ranks)
        raise _wrong(path, f"the rank_id 0 to {len(ranks) - 1}", f"none with {missing}")
    counts = {server.server_id: len(server.devices) for server in servers}
    if len(set(counts.values())) > 1:
        raise _wrong(path, "as many devices on every server", counts)
    for server in servers:
        if server.ranks[-1] - server.ranks[0] >= len(server.devices):
            raise _wrong(path, f"consecutive rank_id on server {server.server_id}", server.ranks)
    return RankTable(tuple(sorted(servers, key=lambda server: server.ranks[0])))


def _server(path: PathLike, entry: dict) -> Server:
    server_id = entry.get("server_id")
    if not isinstance(server_id, str) or not server_id:
        raise _wrong(path, "server_id to be an address", server_id)
    devices = [
        Device(_number(path, "device_id", device), _number(path, "rank_id", device))
        for device in _entries(path, "device", entry)
    ]
    _refuse_repeated(path, f"device_id of server {server_id}", [device.device_id for device in devices])
    return Server(server_id, tuple(sorted(devices, key=lambda device: device.rank)))


def _entries(path: PathLike, key: str, table: dict) -> list[dict]:
    entries = table.get(key)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise _wrong(path, f"{key} to be a list of objects", entries)
    return entries


def _number(path: PathLike, key: str, entry: dict) -> int:
    value = entry.get(key)  # HCCL writes numbers as text
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    raise _wrong(path, f"{key} to be a whole number such as '0'", value)


def _refuse_repeated(path: PathLike, key: str, values: list) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise _wrong(path, f"every {key} once", f"{repeated[0]} twice")


def _wrong(path: PathLike, expected: str, got: Any) -> InputError:
    return InputError(f"{path}: expected {expected}, got {got!r}. hparams/rank_table_cpu_2.json is an example.")
