"""``wscxr ...``: the composition root, the one package that knows training and service alike.

Exit codes: 0 done; 1 a file that cannot be written, or an unexpected failure; 2 wrong usage or
setting; 3 images or labels that cannot be used; 4 a bundle that cannot be used; 5 backbone weights
or device not there; 130 interrupted.
What a command found goes to standard output; progress and messages to standard error.
"""

import typer

from wscxr.cli import offline, online, pacs, pretraining
from wscxr.cli.console import stderr
from wscxr.errors import (
    BundleError,
    ConfigError,
    DataError,
    DeviceUnavailable,
    ImageError,
    WeightsError,
    WscxrError,
)

_EXIT_CODES: dict[type[WscxrError], int] = {
    ConfigError: 2,
    DataError: 3,
    ImageError: 3,
    BundleError: 4,
    WeightsError: 5,
    DeviceUnavailable: 5,
}

_EXTRAS = {
    **dict.fromkeys(("jinja2", "matplotlib", "scipy", "sklearn"), "train"),
    **dict.fromkeys(("httpx", "pydicom", "tenacity"), "dicom"),
}

app = typer.Typer(
    help="Weakly supervised anomaly detection for chest X-rays. Research use only; "
    "not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.add_typer(offline.app)
app.add_typer(pretraining.app)
app.add_typer(online.app)
app.add_typer(online.bundle_app, name="bundle")
app.add_typer(pacs.app, name="pacs")


def main() -> None:
    """Run the command line; expected errors become one line and an exit code."""
    try:
        app()
    except WscxrError as error:
        stderr.print(f"error: {error} [{error.code}]", style="red", markup=False, soft_wrap=True)
        code = next((c for kind, c in _EXIT_CODES.items() if isinstance(error, kind)), 1)
        raise SystemExit(code) from None
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        stderr.print(
            f"error: this command needs the extra: pip install 'wscxr[{extra}]'", markup=False
        )
        raise SystemExit(1) from None
    except OSError as error:
        # Images that cannot be read have errors of their own; most likely this is an output.
        stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None
