"""A real HAProxy whose servers are set while it runs, as an ingress controller does."""

import contextlib
import csv
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SLOTS = 8

_CONFIG = """
global
  stats socket {socket} mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 120s
  timeout server 120s
  # What HAProxy and ingress controllers do unless told otherwise: another server is tried where no
  # connection could be made, never once a request was sent.
  retries {retries}
  retry-on conn-failure
  option redispatch 1
frontend clients
  bind 127.0.0.1:{port}
  default_backend wscxr
backend wscxr
  balance roundrobin
  http-response set-header X-Served-By %s
  server-template replica 1-{slots} 127.0.0.1:1 disabled
"""


class Balancer:
    """One HAProxy; servers are known by the port they listen on."""

    def __init__(self, port: int, control: Path) -> None:
        self.port = port
        self._control = control
        self._slots: dict[int, str] = {}

    def add(self, replica: int) -> None:
        """Send requests to a replica from now on."""
        if replica not in self._slots:
            used = set(self._slots.values())
            names = (f"replica{number}" for number in range(1, _SLOTS + 1))
            self._slots[replica] = next(name for name in names if name not in used)
            self._ask(f"set server wscxr/{self._slots[replica]} addr 127.0.0.1 port {replica}")
        self._ask(f"set server wscxr/{self._slots[replica]} state ready")

    def stop_sending(self, replica: int) -> None:
        """Send a replica no new request; those under way go on."""
        self._ask(f"set server wscxr/{self._slots[replica]} state maint")

    def forget(self, replica: int) -> None:
        """Free the place of a replica that is gone."""
        self.stop_sending(replica)
        del self._slots[replica]

    def name(self, replica: int) -> str:
        """What responses of this replica carry in ``X-Served-By``."""
        return self._slots[replica]

    def counts(self) -> dict[str, int]:
        """Requests under way at each server, and connections made again elsewhere in all."""
        rows = csv.DictReader(self._ask("show stat").lstrip("# ").splitlines())
        servers = [row for row in rows if row["pxname"] == "wscxr"]
        under_way = {row["svname"]: int(row["scur"] or 0) for row in servers}
        [whole] = [row for row in servers if row["svname"] == "BACKEND"]
        return {**under_way, "redispatched": int(whole["wredis"]) + int(whole["wretr"])}

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._control))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


@contextlib.contextmanager
def balancer(port: int, *, retries: int) -> Iterator[Balancer]:
    """Run HAProxy as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder:
        control, config = Path(folder) / "control", Path(folder) / "haproxy.cfg"
        config.write_text(_CONFIG.format(socket=control, port=port, retries=retries, slots=_SLOTS))
        process = subprocess.Popen(["haproxy", "-f", str(config), "-db"])  # noqa: S607 - the one on PATH
        try:
            while not control.exists():
                if process.poll() is not None:
                    raise RuntimeError("HAProxy did not start")
            yield Balancer(port, control)
        finally:
            process.terminate()
            process.wait()
