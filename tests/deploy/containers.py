"""The compose file brought up with docker or podman, and what its containers say."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def find_engine() -> str | None:
    """docker or podman, the first that works."""
    return next((name for name in ("docker", "podman") if _works(name, "info")), None)


def find_compose(engine: str) -> list[str] | None:
    """The command that reads a compose file: docker's own, or podman-compose of PyPI."""
    if engine == "docker" and _works("docker", "compose", "version"):
        return ["docker", "compose"]
    if engine == "podman" and importlib.util.find_spec("podman_compose"):
        return [sys.executable, "-m", "podman_compose"]
    return None


def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


class Project:
    """One compose project of its own name, with settings from an environment of its own."""

    def __init__(self, engine: str, compose: list[str], name: str, **values: str) -> None:
        self.engine, self.name = engine, name
        self._compose = [*compose, "--file", str(ROOT / "docker-compose.yml")]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WSCXR_")}
        self._environment = {**inherited, **values}

    def compose(self, *arguments: str, profile: str | None = None) -> None:
        options = ["--project-name", self.name, *(["--profile", profile] if profile else [])]
        subprocess.run([*self._compose, *options, *arguments], check=True, env=self._environment)

    def command(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run the engine itself."""
        done = subprocess.run([self.engine, *arguments], capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"{arguments}: {done.stderr}")
        return done

    def container(self, service: str) -> str:
        labels = f"project={self.name}", f"service={service}"
        filters = [
            part for label in labels for part in ("--filter", f"label=com.docker.compose.{label}")
        ]
        [found] = self.command("ps", "--all", "--quiet", *filters).stdout.split()
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        [found] = json.loads(self.command("inspect", self.container(service)).stdout)
        return dict(found)

    def execute(self, service: str, *command: str, check: bool = True) -> str:
        done = self.command("exec", self.container(service), *command, check=check)
        return done.stdout + done.stderr

    def python(self, service: str, code: str) -> str:
        return self.execute(service, "python", "-c", code)

    def down(self) -> None:
        self.compose("down", "--volumes", profile="pacs")
