"""Commands of the service: serve, pacs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.pacs import cli as pacs
from wscxr.errors import ConfigError

app = typer.Typer()
app.add_typer(pacs.app, name="pacs")


@app.command(
    epilog="Example: `wscxr serve --model-store model_store --model chest --port 8000`. Every "
    "setting is also an environment variable, WSCXR_MODEL_STORE and so on: see the README."
)
def serve(
    model_store: Annotated[Path | None, typer.Option(help="[model_store]")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME[/VERSION]", help="[all]")] = None,
    host: Annotated[str | None, typer.Option(help="[127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="[8000]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N. [auto]")] = None,
) -> None:
    """Serve bundles over HTTP until SIGTERM or Ctrl-C."""
    from pydantic import ValidationError

    from service.server import serve as run
    from service.settings import Settings, describe_settings_error

    options: dict[str, Any] = {
        "model_store": model_store,
        "model": model,
        "host": host,
        "port": port,
        "device": device,
    }
    try:
        settings = Settings(**{key: value for key, value in options.items() if value is not None})
    except ValidationError as error:
        raise ConfigError(describe_settings_error(error)) from None
    run(settings)
