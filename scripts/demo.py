"""The main job from end to end, on phantoms: train, serve, post unseen images, look at the maps.

Everything goes through the command line and HTTP, as it would in a hospital. Run by `make demo`.
"""

import io
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
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import roc_auc_score

OUT = Path("demo-output")
WSCXR = [sys.executable, "-m", "wscxr.cli"]
START_TIMEOUT_S = 60

# A backbone that was never trained needs no download, and does for phantoms. On real X-rays use
# trained weights: see the README.
TRAIN_OPTIONS = shlex.split(
    "-k 16 --seed 0 --backbone resnet18 --layers layer1,layer2 --weights random --image-size 192 "
    "--steps 1000 --r 0.1"
)

console = Console()


def main() -> None:
    """Run the demo; leaves everything it made in demo-output/."""
    shutil.rmtree(OUT, ignore_errors=True)
    console.rule("1. Phantom radiographs")
    wscxr("phantoms", OUT / "train", "--normal", 120, "--abnormal", 20, "--seed", 0)
    wscxr("phantoms", OUT / "unseen", "--normal", 8, "--abnormal", 8, "--seed", 1)

    console.rule("2. Train on 120 normal and 16 abnormal ones, image-level labels only")
    store = OUT / "model_store"
    folders = ("--normal", OUT / "train/normal", "--abnormal", OUT / "train/abnormal")
    wscxr("train", *folders, *TRAIN_OPTIONS, "--out", store / "phantom/1")

    console.rule("3. Serve, and post unseen images over HTTP")
    with server(store) as url:
        post_all(url)
        console.print(f"\nanomaly maps: {OUT / 'maps'}/    bundle: {store / 'phantom/1'}/")
        if sys.stdin.isatty():
            go_on(url)
            console.input("The server is running. [bold]Enter[/] stops it. ")
    console.print(
        f"to start the server again: .venv/bin/wscxr serve --model-store {store}", soft_wrap=True
    )
    go_on("http://127.0.0.1:8000")


def wscxr(*arguments: object) -> None:
    """Run one `wscxr` command, and show it."""
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
    """Post every unseen phantom; print its answer, save its maps, and sum up."""
    maps = OUT / "maps"
    maps.mkdir()
    table = Table("image", "score", "p-value", "decision", title="unseen phantoms")
    scores: list[float] = []
    truth: list[bool] = []
    pixel_scores, pixel_truth = [], []
    files = sorted((OUT / "unseen").glob("*normal/*.png"))
    with httpx.Client(base_url=url, timeout=60) as client:
        for file in track(files, "posting", console=console):
            abnormal = file.parent.name == "abnormal"
            name = f"{file.parent.name}-{file.stem}"
            answer = post(client, "/v1/predict", file).json()
            overlay = post(client, "/v1/predict/map?style=overlay", file)
            (maps / f"{name}.png").write_bytes(overlay.content)
            table.add_row(
                name, f"{answer['score']:.3f}", f"{answer['p_value']:.3f}", answer["decision"]
            )
            scores.append(answer["score"])
            truth.append(abnormal)
            if abnormal:
                mask = Image.open(OUT / "unseen/masks" / file.name)
                raw = post(client, "/v1/predict/map?style=raw16", file)
                pixel_scores.append(recover_map(raw, mask.size).ravel())
                pixel_truth.append(np.asarray(mask).ravel() > 0)
    console.print(table)
    pixel_auroc = roc_auc_score(np.concatenate(pixel_truth), np.concatenate(pixel_scores))
    console.print(
        f"image AUROC {roc_auc_score(truth, scores):.3f}, pixel AUROC {pixel_auroc:.3f} "
        f"({len(files)} phantoms: a demonstration, no evidence about patients)"
    )


def post(client: httpx.Client, path: str, file: Path) -> httpx.Response:
    """Post one image file."""
    response = client.post(path, files={"file": file.read_bytes()})
    return response.raise_for_status()


def recover_map(raw: httpx.Response, size: tuple[int, int]) -> NDArray[np.float32]:
    """Scores of a raw16 answer, enlarged to the image's size."""
    values = np.asarray(Image.open(io.BytesIO(raw.content)), dtype=np.float32)
    slope, offset = (float(raw.headers[f"x-score-{name}"]) for name in ("slope", "offset"))
    enlarged = Image.fromarray(offset + slope * values).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(enlarged)


def go_on(url: str) -> None:
    """Say what to type next."""
    image = OUT / "unseen/abnormal/0000.png"
    console.print(f"{url}/docs")
    console.print(f"curl -F file=@{image} {url}/v1/predict", soft_wrap=True)
    console.print(f"curl -F file=@{image} {url}/v1/predict/map -o map.png", soft_wrap=True)


if __name__ == "__main__":
    main()
