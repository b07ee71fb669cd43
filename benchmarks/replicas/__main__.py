"""Three replicas behind HAProxy, under load: a rolling update, a crash, a replica that hangs.

``python -m benchmarks.replicas`` needs Debian's package haproxy. It plays Kubernetes with the
timings of the Helm chart, and ends with code 1 where a promise is broken: no request fails in a
rolling update; in a crash only the requests under way at that replica, and none of a client that
tries again; a replica that hangs is taken out and comes back. ``--pre-stop 0 --retries 0`` shows
what the chart's pause before SIGTERM is for. ``--image wscxr:cpu`` runs containers in place of
processes, with docker, or with podman (without systemd: CONTAINERS_CONF=deploy/containers.conf).
"""

import argparse
import signal
import socket
import sys
import time

from benchmarks.common import console
from benchmarks.replicas.balancer import balancer
from benchmarks.replicas.cluster import Cluster, Timings
from benchmarks.replicas.load import Load, load

REPLICAS = 3
HANG_S = 20


def main() -> None:
    """Run all three, and print what the clients saw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pre-stop", type=float, help="seconds; the chart's own")
    parser.add_argument("--retries", type=int, default=3, help="of a connection, by HAProxy")
    parser.add_argument("--per-s", type=float, default=8, help="requests a second, at most")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--image", help="run containers of it")
    form.add_argument("--model-store", help="what the processes serve; by default what ships")
    parser.add_argument("--only", choices=("roll", "crash", "hang"))
    options = parser.parse_args()
    timings = Timings.of_chart()
    if options.pre_stop is not None:
        timings.pre_stop_s = options.pre_stop
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    scenarios = {"roll": roll, "crash": crash, "hang": hang}
    chosen = [options.only] if options.only else list(scenarios)
    kept = True
    with balancer(port, retries=options.retries) as front:
        cluster = Cluster(front, timings, image=options.image, model_store=options.model_store)
        try:
            for _ in range(REPLICAS):
                cluster.start()
            url = f"http://127.0.0.1:{port}"
            with load(url, clients=4, retrying=2, per_s=options.per_s) as clients:
                time.sleep(5)
                for name in chosen:
                    kept = scenarios[name](cluster, clients) and kept
                    time.sleep(5)
        finally:
            cluster.close()
    sys.exit(0 if kept else 1)


def roll(cluster: Cluster, clients: Load) -> bool:
    """Replace all three replicas under load."""
    begun = time.monotonic()
    redispatched = cluster.balancer.counts()["redispatched"]
    codes = cluster.roll()
    time.sleep(5)
    redispatched = cluster.balancer.counts()["redispatched"] - redispatched
    failed = clients.failed(retrying=False, since=begun) + clients.failed(
        retrying=True, since=begun
    )
    console.print(
        f"rolling update in {time.monotonic() - begun:.0f} s: {clients.summary(begun)}; "
        f"{len(failed)} failed; exit codes {codes}; {redispatched} connections made again elsewhere"
    )
    return not failed and set(codes) == {0}


def crash(cluster: Cluster, clients: Load) -> bool:
    """Kill one replica with SIGKILL under load."""
    victim = cluster.replicas[0]
    name = cluster.balancer.name(victim.port)
    while not cluster.balancer.counts()[name]:
        time.sleep(0.005)
    begun = time.monotonic()
    died = cluster.crash(victim)
    time.sleep(5)
    plain, retrying = (clients.failed(retrying=kind, since=begun) for kind in (False, True))
    console.print(
        f"kill -9: {clients.summary(begun)}; {len(plain)} of plain clients failed, "
        f"{sum(r.begun > died for r in plain)} of them begun after it, "
        f"{len(retrying)} of clients that try again"
    )
    return all(request.begun <= died for request in plain) and not retrying


def hang(cluster: Cluster, clients: Load) -> bool:
    """Stop one replica for a while; it answers nothing, then goes on."""
    victim = cluster.replicas[0]
    name = cluster.balancer.name(victim.port)
    begun = time.monotonic()
    victim.send(signal.SIGSTOP)
    while victim.in_service:
        time.sleep(0.05)
    out = victim.events[-1][0]
    time.sleep(max(0.0, HANG_S - (time.monotonic() - begun)))
    victim.send(signal.SIGCONT)
    resumed = time.monotonic()
    while not victim.in_service:
        time.sleep(0.05)
    back = victim.events[-1][0]
    time.sleep(5)
    failed = clients.failed(retrying=False, since=begun) + clients.failed(
        retrying=True, since=begun
    )
    # Between being taken out and going on, whatever it was sent came before.
    late = [r for r in clients.requests if r.server == name and out + 0.5 < r.begun < resumed]
    console.print(
        f"hanging for {HANG_S} s: taken out after {out - begun:.1f} s, back {back - resumed:.1f} s "
        f"after it went on: {clients.summary(begun)}; {len(failed)} failed; "
        f"{len(late)} sent to it after it was taken out"
    )
    return not failed and not late


if __name__ == "__main__":
    main()
