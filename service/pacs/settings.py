"""All settings of the bridge, from arguments or ``WSCXR_PACS_...`` environment variables."""

from pathlib import Path
from typing import Literal, Self

from pydantic import (
    Field,
    HttpUrl,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, SettingsConfigDict

_MIB = 1024 * 1024
_URL: JsonDict = {"metavar": "URL"}


class PacsSettings(BaseSettings):
    """Settings of the bridge; each is read from ``WSCXR_PACS_<NAME>`` unless given.

    Raises
    ------
    pydantic.ValidationError
        A value is missing or out of range, or two contradict each other.
    """

    model_config = SettingsConfigDict(env_prefix="WSCXR_PACS_", frozen=True)

    url: HttpUrl = Field(
        description="Root of Orthanc's REST API, or of a DICOMweb server; of Azure's, with /v1.",
        json_schema_extra=_URL,
    )
    kind: Literal["orthanc", "dicomweb", "azure"] = Field(
        default="orthanc",
        description="How arrivals are found: by Orthanc's /changes, by QIDO-RS, or by the change "
        "feed of Azure's DICOM service.",
    )
    dicomweb_path: str = Field(
        default="dicom-web", description="Path of DICOMweb below the root of Orthanc."
    )
    user: str | None = Field(default=None, description="User for HTTP basic authentication.")
    password: SecretStr | None = Field(default=None, description="Password of that user.")
    password_file: Path | None = Field(default=None, description="File with that password.")
    token: SecretStr | None = Field(default=None, description="Bearer token.")
    token_file: Path | None = Field(default=None, description="File with that token.")
    ca_file: Path | None = Field(
        default=None, description="PEM certificates to trust in place of the system's."
    )
    service_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8000"),
        description="Root of the scoring service.",
        json_schema_extra=_URL,
    )
    service_key: SecretStr | None = Field(default=None, description="Its API key.")
    service_key_file: Path | None = Field(default=None, description="File with that key.")
    in_process: bool = Field(
        default=False,
        description="Score with a model in this process, by the settings of the service "
        "(WSCXR_MODEL_STORE and so on), in place of the scoring service.",
    )
    model: str | None = Field(
        default=None,
        description="Model to score with, if the service has several.",
        json_schema_extra={"metavar": "NAME"},
    )
    modalities: tuple[str, ...] = Field(
        default=("CR", "DX", "SC", "OT"),
        min_length=1,
        description="Modalities to pull; the service decides the rest. JSON in the environment.",
    )
    state: Path = Field(
        default=Path("pacs.sqlite3"), description="State file: cursor and failures."
    )
    archive: str | None = Field(
        default=None,
        min_length=1,
        description="Name that the state file knows the archive by; by default, its address.",
        json_schema_extra={"metavar": "NAME"},
    )
    start: Literal["beginning", "window", "now"] | None = Field(
        default=None,
        description="Empty state: take of what is in the archive already all (default with "
        "orthanc and azure), what since_days covers or has no date (default with dicomweb), or "
        "nothing.",
    )
    since_days: PositiveInt = Field(
        default=3,
        description="DICOMweb: studies up to this age by their date, in days, are looked for at "
        "every poll, and all others every rescan_s.",
    )
    rescan_s: PositiveFloat = Field(
        default=60, description="DICOMweb: pause between two scans of all studies, in seconds."
    )
    poll_s: PositiveFloat = Field(default=2, description="Pause when nothing arrived, in seconds.")
    workers: PositiveInt = Field(default=4, le=64, description="Instances under way at once.")
    timeout_s: PositiveFloat = Field(default=60, description="Limit of one request, in seconds.")
    tries: PositiveInt = Field(default=5, description="Tries with an instance that fails.")
    min_pause_s: PositiveFloat = Field(
        default=0.5, description="First pause before a retry, in seconds."
    )
    max_pause_s: PositiveFloat = Field(
        default=60, description="Longest pause before a retry, in seconds."
    )
    max_bytes: PositiveInt = Field(default=256 * _MIB, description="Largest instance, in bytes.")
    audit: str | None = Field(
        default=None,
        pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description="Audit record repository that wscxr pacs watch sends DICOM audit messages to, "
        "by syslog over TLS; by default, none.",
        json_schema_extra={"metavar": "HOST:PORT"},
    )
    audit_ca_file: Path | None = Field(
        default=None, description="PEM certificates to trust there in place of the system's."
    )
    audit_cert_file: Path | None = Field(
        default=None,
        description="PEM file with the watcher's certificate and its key, where it asks for one.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address of /metrics and /health.")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of /metrics and /health; 0 takes any free one. By default, neither.",
    )
    shutdown_timeout_s: PositiveFloat = Field(
        default=20, description="How long work under way may still take after SIGTERM, in seconds."
    )
    log_level: Literal["info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    @field_validator("modalities", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("password", "token", "service_key"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"give {name} or {name}_file, not both")
            self.secret(name)
        has_token = self.secret("token") is not None
        if has_token and self.user is not None:
            raise ValueError("give a user or a token, not both")
        if (self.user is None) != (self.secret("password") is None):
            raise ValueError("user and password go together")
        for url in (self.url, self.service_url):
            if url.username or url.password or url.query or url.fragment:
                raise ValueError("an address must hold no credentials, query or fragment")
        if self.kind != "dicomweb" and self.start == "window":
            raise ValueError("start=window is for kind=dicomweb: others say what arrives")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError("ca_file is not a file")
        return self

    @property
    def archive_names(self) -> list[str]:
        """The name that the state file knows the archive by, and those it may have had before."""
        bare = str(self.url).rstrip("/")
        # One address, however it is spelled; pydantic has unified scheme, host and port.
        names = [f"{bare}/", bare]
        return names if self.archive is None else [self.archive, *names]

    def secret(self, name: str) -> str | None:
        """A secret, given itself or in a file; None when it is not set.

        Parameters
        ----------
        name
            password, token or service_key.

        Raises
        ------
        ValueError
            Its file cannot be read, or is empty.
        """
        value: SecretStr | None = getattr(self, name)
        path: Path | None = getattr(self, f"{name}_file")
        if path is None:
            return None if value is None else value.get_secret_value()
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"{name}_file cannot be read") from None
        if not text:
            raise ValueError(f"{name}_file is empty")
        return text
