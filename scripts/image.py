"""Build the container images with docker, podman or buildah, whichever works here.

``python scripts/image.py build --target serve`` is what ``make image`` runs; it needs no package.
``python scripts/image.py test`` is ``make image-test``: it builds the image and an Orthanc, on a
base image made here where none can be pulled, and runs the tests that bring up the compose file.
``python scripts/image.py check`` fails where no container can be built and run.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE_IMAGE = "python:3.12-slim"
LOCAL_BASE = "localhost/wscxr-base:bookworm"

# A proxy's certificates, and where packages come from: mounted while building, never copied.
_MACHINE_SETTINGS = {
    "/etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pip.conf": "/etc/pip.conf",
    "/etc/uv": "/etc/uv",
    "~/.config/pip": "/root/.config/pip",
    "~/.config/uv": "/root/.config/uv",
}


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="see whether a container can be built and run here")
    test = commands.add_parser("test", help="build the image and test it")
    build = commands.add_parser("build", help="build one image and write its bill of materials")
    build.add_argument("--target", choices=("serve", "gpu", "train", "archive"), default="serve")
    build.add_argument("--base", default=BASE_IMAGE, help="[%(default)s]")
    for command in (build, test):
        command.add_argument(
            "--torch-backend", help="cpu, cu132, ...; '' takes the package index's own"
        )
    build.add_argument("--tag", help="[wscxr:cpu, or wscxr:TARGET]")
    build.add_argument("--release", action="store_true", help="refuse a base without a digest")
    build.add_argument("--out", type=Path, default=ROOT / "dist", help="[dist]")
    arguments = parser.parse_args()
    use_containers_conf()
    if arguments.command == "check":
        check()
        return
    backend = arguments.torch_backend
    options = [] if backend is None else ["--build-arg", f"TORCH_BACKEND={backend}"]
    if arguments.command == "test":
        test_image(options)
        return
    if arguments.release and not re.search(r"@sha256:[0-9a-f]{64}$", arguments.base):
        sys.exit("a release names its base by digest: --base python:3.12-slim@sha256:...")
    tag = arguments.tag or f"wscxr:{'cpu' if arguments.target == 'serve' else arguments.target}"
    start = time.monotonic()
    build_image(ROOT, tag, arguments.base, "--target", arguments.target, *options)
    print(f"{tag}: built in {time.monotonic() - start:.0f} s, {size_gb(tag):.2f} GB")
    arguments.out.mkdir(parents=True, exist_ok=True)
    bill = arguments.out / f"{tag.replace(':', '-').replace('/', '-')}.cdx.json"
    copy_out(tag, "/opt/wscxr/sbom.cdx.json", bill)
    print(f"bill of materials: {bill}")


def use_containers_conf() -> None:
    """Name the settings that podman and buildah need on a machine without systemd."""
    if not Path("/run/systemd/system").exists() and shutil.which("runc"):
        os.environ.setdefault("CONTAINERS_CONF", str(ROOT / "deploy" / "containers.conf"))


def engine() -> str:
    """Find the first of docker, podman and buildah that works here.

    Raises
    ------
    SystemExit
        None of them does.
    """
    for name in ("docker", "podman", "buildah"):
        # An installed docker may have no server.
        if shutil.which(name) and succeeds([name, "info"]):
            return name
    sys.exit("docker, podman or buildah is needed; on Debian: apt-get install podman buildah runc")


def check() -> None:
    """Build a container that runs one command, and run it; end with an exit code if it fails."""
    base = usable_base()
    with tempfile.TemporaryDirectory() as folder:
        text = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN python3 --version\n"
        (Path(folder) / "Dockerfile").write_text(text)
        build_image(Path(folder), "wscxr-check", base)
    if engine() != "buildah":
        run([engine(), "run", "--rm", "--read-only", "wscxr-check", "python3", "--version"])
    run([engine(), "rmi", "wscxr-check"])


def test_image(options: list[str]) -> None:
    """Build the image and an Orthanc to test with, and run the tests of the image."""
    base = usable_base()
    start = time.monotonic()
    build_image(ROOT, "wscxr:cpu", base, "--target", "serve", *options)
    print(f"built in {time.monotonic() - start:.0f} s, {size_gb('wscxr:cpu'):.2f} GB", flush=True)
    build_image(ROOT / "tests" / "deploy" / "orthanc", "wscxr-test-orthanc", base)
    os.environ["WSCXR_TEST_IMAGE"] = "wscxr:cpu"
    os.environ["WSCXR_TEST_ORTHANC_IMAGE"] = "wscxr-test-orthanc:latest"
    tests = ["--log-cli-level=info", "tests/deploy/test_image.py"]
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *tests], cwd=ROOT).returncode)


def build_image(folder: Path, tag: str, base: str, *options: str) -> None:
    """Build what a folder's Dockerfile says, upon a base image."""
    chosen = engine()
    command = [chosen, "build", "--network", "host", "--tag", tag, *options]
    command += ["--build-arg", f"BASE_IMAGE={base}"]
    if chosen != "docker":
        # OCI's own format has no health check. Layers of a stage that is only copied from would be
        # written for nothing: 6 GB of them.
        command += ["--format", "docker", "--layers=false"]
        for source, place in _MACHINE_SETTINGS.items():
            path = Path(source).expanduser()
            if path.exists():
                command += ["--volume", f"{path}:{place}:ro"]
    run([*command, str(folder)])


def usable_base() -> str:
    """Pull the Dockerfile's base image, or else make one of Debian's packages.

    Returns
    -------
    str
        The name of an image that is now stored here.

    Raises
    ------
    SystemExit
        There is neither a registry nor mmdebstrap.
    """
    chosen = engine()
    if succeeds([chosen, "pull", BASE_IMAGE]):
        return BASE_IMAGE
    if succeeds([chosen, "inspect", "--type", "image", LOCAL_BASE]):
        return LOCAL_BASE
    if not shutil.which("mmdebstrap"):
        sys.exit(f"{BASE_IMAGE} cannot be pulled, and mmdebstrap is not there to make a base")
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/base.tar"
        packages = "--include=python3,python3-venv,python3-pip,ca-certificates"
        run(["mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", archive])
        if chosen == "buildah":
            (Path(folder) / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
            run([chosen, "build", "--tag", LOCAL_BASE, folder])
        else:
            run([chosen, "import", archive, LOCAL_BASE])
    return LOCAL_BASE


def size_gb(tag: str) -> float:
    """Look up the size of an image with all its layers, in units of 10^9 bytes."""
    chosen = engine()
    if chosen == "buildah":
        listed = output([chosen, "images", "--json", tag])
        [(number, unit)] = re.findall(r'"size": "([\d.]+) (\w)B"', listed)
        return float(number) * {"K": 1e-6, "M": 1e-3, "G": 1.0}[unit.upper()]
    return int(output([chosen, "image", "inspect", "--format", "{{.Size}}", tag])) / 1e9


def copy_out(tag: str, source: str, target: Path) -> None:
    """Copy one file out of an image."""
    chosen = engine()
    if chosen == "buildah":
        container = output([chosen, "from", tag])
        mounted = output([chosen, "mount", container])
        shutil.copyfile(mounted + source, target)
        run([chosen, "rm", container])
        return
    container = output([chosen, "create", tag])
    run([chosen, "cp", f"{container}:{source}", str(target)])
    run([chosen, "rm", container])


def run(command: list[str]) -> None:
    """Run a command, its output on standard error; end with its exit code where it fails."""
    code = subprocess.run(command, stdout=sys.stderr).returncode
    if code:
        sys.exit(code)


def output(command: list[str]) -> str:
    """Run a command that must succeed, and take what it prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def succeeds(command: list[str]) -> bool:
    """Run a command only for whether it succeeds."""
    return subprocess.run(command, capture_output=True).returncode == 0


if __name__ == "__main__":
    main()
