"""Plays what Kubernetes does with the chart's Deployment: probes, endpoints, rolling updates."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.replicas.balancer import Balancer
from tests.deploy.containers import find_engine

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "wscxr" / "values.yaml"

PROPAGATION_S = 3.0
"""How long it takes until the load balancer knows that a pod came or went, in seconds."""


@dataclass
class Timings:
    """The chart's numbers, in seconds and counts."""

    startup: dict[str, int]
    readiness: dict[str, int]
    pre_stop_s: float
    grace_s: float
    min_ready_s: float
    shutdown_timeout_s: int

    @classmethod
    def of_chart(cls) -> "Timings":
        """Read them from the chart's default values."""
        values: dict[str, Any] = yaml.safe_load(CHART.read_text())
        return cls(
            startup=values["probes"]["startup"],
            readiness=values["probes"]["readiness"],
            pre_stop_s=values["preStopSleepSeconds"],
            grace_s=values["terminationGracePeriodSeconds"],
            min_ready_s=values["minReadySeconds"],
            shutdown_timeout_s=values["settings"]["shutdown_timeout_s"],
        )


@dataclass(eq=False)
class Replica:
    """One process of the service; ``in_service`` while the load balancer sends it requests.

    Of a container, ``process`` is the command that runs it.
    """

    process: "subprocess.Popen[bytes]"
    port: int
    container: str | None = None
    in_service: bool = False
    failures: int = 0
    events: list[tuple[float, str]] = field(default_factory=list)

    def send(self, number: signal.Signals) -> None:
        """Send the service a signal."""
        if self.container is None:
            self.process.send_signal(number)
            return
        command = [_engine(), "kill", "--signal", number.name, self.container]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Cluster:
    """Replicas behind a load balancer, each probed at the chart's intervals.

    They are containers where an image is named, which serve what ships; else processes.
    """

    def __init__(
        self,
        balancer: Balancer,
        timings: Timings,
        *,
        image: str | None = None,
        model_store: str | None = None,
    ) -> None:
        self.balancer, self.timings = balancer, timings
        self.image, self.model_store = image, model_store
        self.replicas: list[Replica] = []
        self._probers: list[threading.Thread] = []

    def start(self) -> Replica:
        """Start one replica, and take it into service once its start-up probe passed."""
        timings = self.timings
        replica = self._process()
        self.replicas.append(replica)
        deadline = timings.startup["periodSeconds"] * timings.startup["failureThreshold"]
        begun = time.monotonic()
        while not self._probe(replica, timings.startup["timeoutSeconds"]):
            if time.monotonic() - begun > deadline:
                raise RuntimeError("a replica did not start in time")
            time.sleep(timings.startup["periodSeconds"])
        threading.Thread(target=self._keep_probing, args=[replica], daemon=True).start()
        while not replica.in_service:
            time.sleep(0.1)
        return replica

    def roll(self) -> list[int]:
        """Replace every replica, one more at a time and none less.

        Returns
        -------
        list of int
            The exit codes of the old ones.
        """
        old, stopping, codes = list(self.replicas), [], []
        for replica in old:
            self.start()
            time.sleep(self.timings.min_ready_s)
            thread = threading.Thread(target=lambda r=replica: codes.append(self.stop(r)))
            thread.start()
            stopping.append(thread)
        for thread in stopping:
            thread.join()
        return codes

    def stop(self, replica: Replica) -> int:
        """Take a replica out of service and end it as a kubelet does; gives its exit code."""
        self.replicas.remove(replica)
        gone = threading.Timer(PROPAGATION_S, self.balancer.stop_sending, [replica.port])
        gone.start()
        begun = time.monotonic()
        time.sleep(self.timings.pre_stop_s)
        replica.send(signal.SIGTERM)
        try:
            code = replica.process.wait(self.timings.grace_s - (time.monotonic() - begun))
        except subprocess.TimeoutExpired:
            replica.send(signal.SIGKILL)
            code = replica.process.wait()
        gone.join()
        self.balancer.forget(replica.port)
        return code

    def crash(self, replica: Replica) -> float:
        """Kill a replica with SIGKILL, start another in its place; gives the time of death."""
        replica.send(signal.SIGKILL)
        replica.process.wait()
        died = time.monotonic()
        self.replicas.remove(replica)
        time.sleep(PROPAGATION_S)
        self.balancer.forget(replica.port)
        self.start()
        return died

    def close(self) -> None:
        """End all that is left."""
        for replica in self.replicas:
            replica.send(signal.SIGCONT)
            replica.send(signal.SIGKILL)
            replica.process.wait()

    def _process(self) -> Replica:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        settings = {
            "WSCXR_PORT": str(port),
            "WSCXR_DEVICE": "cpu",
            "WSCXR_LOG_LEVEL": "error",
            "WSCXR_SHUTDOWN_TIMEOUT_S": str(self.timings.shutdown_timeout_s),
            "OMP_NUM_THREADS": "1",
        }
        if self.image is None:
            if self.model_store is not None:
                settings["WSCXR_MODEL_STORE"] = self.model_store
            inherited = {k: v for k, v in os.environ.items() if not k.startswith("WSCXR_")}
            command = [sys.executable, "-m", "wscxr", "serve"]
            return Replica(subprocess.Popen(command, env=inherited | settings), port)
        # As the chart has them.
        container = f"wscxr-replica-{os.getpid()}-{port}"
        command = [
            _engine(),
            "run",
            "--rm",
            "--name",
            container,
            "--network",
            "host",
            "--read-only",
        ]
        command += ["--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108 - inside the container
        command += [f"--env={name}={value}" for name, value in settings.items()]
        return Replica(subprocess.Popen([*command, self.image]), port, container)

    def _keep_probing(self, replica: Replica) -> None:
        readiness = self.timings.readiness
        while replica in self.replicas:
            if self._probe(replica, readiness["timeoutSeconds"]):
                replica.failures = 0
                if not replica.in_service:
                    self._changed(replica, in_service=True)
            else:
                replica.failures += 1
                if replica.in_service and replica.failures >= readiness["failureThreshold"]:
                    self._changed(replica, in_service=False)
            time.sleep(readiness["periodSeconds"])

    def _changed(self, replica: Replica, *, in_service: bool) -> None:
        time.sleep(PROPAGATION_S)
        if replica not in self.replicas:
            return
        (self.balancer.add if in_service else self.balancer.stop_sending)(replica.port)
        replica.in_service = in_service
        replica.events.append((time.monotonic(), "in" if in_service else "out"))

    @staticmethod
    def _probe(replica: Replica, timeout_s: float) -> bool:
        try:
            url = f"http://127.0.0.1:{replica.port}/health/ready"
            return httpx.get(url, timeout=timeout_s).status_code == 200
        except httpx.TransportError:
            return False


def _engine() -> str:
    if (found := find_engine()) is None:
        raise RuntimeError("neither docker nor podman works here")
    return found
