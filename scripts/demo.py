"""The main job from end to end, on phantoms: train, serve, post unseen images, look at the maps.

Everything goes through the command line and HTTP, as in a hospital. `make demo` runs it.
"""

import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

OUT = Path("demo-output")
WSCXR = [sys.executable, "-m", "wscxr"]
START_TIMEOUT_S = 60

TRAIN_OPTIONS = shlex.split("-k 16 --seed 0")

console = Console()


def main() -> None:
    """Run the demo; its output is in demo-output/."""
    shutil.rmtree(OUT, ignore_errors=True)
    console.rule("1. Phantom radiographs")
    wscxr("phantoms", OUT / "train", "--normal", 120, "--abnormal", 20, "--seed", 0)
    wscxr("phantoms", OUT / "unseen", "--normal", 8, "--abnormal", 8, "--seed", 1)

    console.rule("2. Train on 120 normal and 16 abnormal ones, image-level labels only")
    store = OUT / "model_store"
    folders = ("--normal", OUT / "train/normal", "--abnormal", OUT / "train/abnormal")
    wscxr("train", *folders, *TRAIN_OPTIONS, "--out", store / "phantom/1")

    console.rule("3. Measure it on unseen ones, whose opacities are known to the pixel")
    unseen = OUT / "unseen"
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    report = OUT / "report.html"
    wscxr(
        "evaluate", store / "phantom/1", *folders, "--masks", unseen / "masks", "--report", report
    )

    console.rule("4. Serve, and post unseen images over HTTP")
    with server(store) as url:
        post_all(url)
        console.print(
            f"\nreport: {report}    anomaly maps: {OUT / 'maps'}/    bundle: {store / 'phantom/1'}/"
        )
        if sys.stdin.isatty():
            suggest_next(url)
            console.input("The server is running. [bold]Enter[/] stops it. ")
    console.print(
        f"to start the server again: .venv/bin/wscxr serve --model-store {store}", soft_wrap=True
    )
    suggest_next("http://127.0.0.1:8000")


def wscxr(*arguments: object) -> None:
    """Print a `wscxr` command and run it."""
    words = [str(argument) for argument in arguments]
    console.print(f"[bold]$ wscxr {shlex.join(words)}", soft_wrap=True)
    subprocess.run([*WSCXR, *words], check=True)


@contextmanager
def server(store: Path) -> Iterator[str]:
    """Run the real server for a while; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["serve", "--model-store", str(store), "--port", str(port)]
    console.print(f"[bold]$ wscxr {shlex.join(command)}", soft_wrap=True)
    with (OUT / "server.log").open("wb") as log:
        process = subprocess.Popen([*WSCXR, *command], stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()
            process.wait()


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the golden check to pass."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"the server did not become ready; see {OUT / 'server.log'}")


def post_all(url: str) -> None:
    """Post every unseen phantom; print its answer and save its map."""
    maps = OUT / "maps"
    maps.mkdir()
    table = Table("image", "score", "p-value", "decision", title="unseen phantoms")
    files = sorted((OUT / "unseen").glob("*normal/*.png"))
    with httpx.Client(base_url=url, timeout=60) as client:
        for file in track(files, "posting", console=console):
            name = f"{file.parent.name}-{file.stem}"
            answer = post(client, "/v1/predict", file).json()
            overlay = post(client, "/v1/predict/map?style=overlay", file)
            (maps / f"{name}.png").write_bytes(overlay.content)
            table.add_row(
                name, f"{answer['score']:.3f}", f"{answer['p_value']:.3f}", answer["decision"]
            )
    console.print(table)
    console.print(f"{len(files)} phantoms: a demonstration, no evidence about patients")


def post(client: httpx.Client, path: str, file: Path) -> httpx.Response:
    """Post one image file."""
    response = client.post(path, files={"file": file.read_bytes()})
    return response.raise_for_status()


def suggest_next(url: str) -> None:
    """Print commands to try next."""
    image = OUT / "unseen/abnormal/0000.png"
    console.print(f"{url}/docs")
    console.print(f"curl -F file=@{image} {url}/v1/predict", soft_wrap=True)
    console.print(f"curl -F file=@{image} {url}/v1/predict/map -o map.png", soft_wrap=True)


if __name__ == "__main__":
    main()
