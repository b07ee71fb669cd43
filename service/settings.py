"""All settings of the service, from arguments or ``WSCXR_...`` environment variables."""

import os
from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.http.keys import read_keys
from service.records.location import OFF, Location
from wscxr import shipped
from wscxr.errors import ConfigError
from wscxr.imaging import DicomRules, ImageLimits
from wscxr.options import split_commas
from wscxr.results.dicom.capture import Capture
from wscxr.results.dicom.identity import DEFAULT_KINDS, ResultKind

_MIB = 1024 * 1024

NAME_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
"""Allowed names and versions of models: they travel in URLs and HTTP headers."""

_MIN_KEY_LENGTH = 16


def _network(text: str) -> str:
    ip_network(text)  # says what is wrong with it
    return text


class Settings(BaseSettings):
    """Settings of the service; each is read from ``WSCXR_<NAME>`` unless given.

    Raises
    ------
    pydantic.ValidationError
        A value is out of range, or two contradict each other.
    """

    model_config = SettingsConfigDict(env_prefix="WSCXR_", env_nested_delimiter="__", frozen=True)

    model_store: Path = Field(
        default_factory=shipped.model_store,
        description="Folder of bundles, NAME/VERSION each; default: ./model_store.",
    )
    model: str | None = Field(
        default=None,
        pattern=rf"^{NAME_PATTERN}(/{NAME_PATTERN})?$",
        description="Serve only this bundle; by default, of each name the version in its file "
        "`current`, else the latest.",
        json_schema_extra={"metavar": "NAME[/VERSION]"},
    )
    store_poll_s: float = Field(
        default=10,
        ge=0,
        description="Seconds between looks at the files `current` of the model store; 0: never.",
    )
    default_model: str | None = Field(
        default=None,
        pattern=rf"^{NAME_PATTERN}$",
        description="Model for requests that name none; by default, the one served, or of several "
        f"{shipped.BUNDLE.parent}.",
        json_schema_extra={"metavar": "NAME"},
    )
    trusted_keys: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(split_commas)] = Field(
        default=(),
        description="Serve only bundles signed by one of these public keys: PEM files, or folders "
        "of *.pem, by commas; by default, any bundle.",
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda or cuda:N; a missing device is an error."
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        default="auto",
        description="What runs the networks; auto: openvino on a CPU where it is installed.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="What they compute in; auto: bfloat16 on a GPU that multiplies it.",
    )
    engine_cache: Path | None = Field(
        default=None,
        description="Folder of compiled networks, for a quicker start; only the service may write "
        "there.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port; 0 takes any free one.")
    workers: PositiveInt = Field(
        default=1,
        le=256,
        description="Processes that share the port, each with its own models and limits (Linux).",
    )
    # On a CPU larger batches are no faster, and cost 60 MB of memory for each image more.
    max_batch: PositiveInt = Field(
        default=4, description="Most images computed at once; more pays off on a GPU."
    )
    max_wait_ms: float = Field(
        default=20,
        ge=0,
        description="How long a batch waits for images that are being decoded; never for others.",
    )
    queue_size: PositiveInt = Field(
        default=64, description="Most images under way at once; more are refused with 503."
    )
    request_timeout_s: PositiveFloat = Field(
        default=30,
        description="Seconds for the upload, then 408, and from its end to the answer, then 504.",
    )
    header_timeout_s: PositiveFloat = Field(
        default=10, description="Seconds that the head of a request may take, then 408."
    )
    max_connections: PositiveInt = Field(
        default=512, description="Most connections open at once; others get 503."
    )
    max_body_bytes: PositiveInt = Field(
        default=64 * _MIB, description="Largest request body, and so largest file, in bytes."
    )
    max_held_bytes: PositiveInt = Field(
        default=512 * _MIB, description="Bodies of all requests under way together, in bytes."
    )
    max_pixels: PositiveInt = Field(
        default=100_000_000, description="Largest width x height, checked before decoding."
    )
    max_decoding_bytes: PositiveInt = Field(
        default=2048 * _MIB,
        description="Memory of all images that are decoded or kept at once, in bytes; then 503.",
    )
    max_files: PositiveInt = Field(
        default=32, description="Most files in one batch request.", le=1000
    )
    decode_workers: PositiveInt = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="Threads that decode images and draw maps; default: one per core.",
    )
    shutdown_timeout_s: PositiveInt = Field(
        default=20, description="How long work under way may still take after SIGTERM, in seconds."
    )
    api_key: SecretStr | None = Field(default=None, description="Key that requests must carry.")
    api_key_file: Path | None = Field(default=None, description="File with that key, instead.")
    api_keys_file: Path | None = Field(
        default=None, description="TOML file of named keys, by their hashes; see wscxr keys new."
    )
    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...],
        NoDecode,
        BeforeValidator(split_commas),
    ] = Field(
        default=("127.0.0.1", "::1"),
        description="Proxies whose X-Forwarded-For is believed: addresses or networks, by commas.",
    )
    docs_access: Literal["open", "key"] = Field(
        default="open",
        description="Whether /docs and /openapi.json are open, or need the API key as well.",
    )
    page: bool = Field(
        default=True, description="Whether the reading room, a page for radiologists, is at /."
    )
    map_cache_bytes: PositiveInt = Field(
        default=256 * _MIB, description="Memory for anomaly maps behind a URL, in bytes."
    )
    map_ttl_s: PositiveFloat = Field(
        default=300, description="How long an anomaly map stays behind its URL, in seconds."
    )
    dicom: DicomRules = Field(
        default=DicomRules(), description="Which DICOM objects are scored; WSCXR_DICOM__LATERAL."
    )
    dicom_results: tuple[ResultKind, ...] = Field(
        default=DEFAULT_KINDS,
        min_length=1,
        description="DICOM objects to make, of sc, sr, seg and gsps; JSON in the environment.",
    )
    records: str = Field(
        default=OFF,
        repr=False,
        description="Database that records every analysis: sqlite:///PATH or "
        "postgresql://USER@HOST/DATABASE; off: none. A password belongs into the variable.",
        json_schema_extra={"metavar": "URL"},
    )
    records_key_file: Path | None = Field(
        default=None,
        description="File with the key of the record's hashes; SQLite: made beside the database.",
    )
    record_images: Path | None = Field(
        default=None,
        description="Folder to keep pictures and maps of recorded analyses in; default: none kept.",
    )
    records_retention_days: PositiveInt | None = Field(
        default=None,
        description="Days after which analyses are erased; default: never. Deployers of AI systems "
        "of high risk keep logs for at least 180 (EU AI Act, article 26).",
    )
    records_buffer: PositiveInt = Field(
        default=10_000, description="Most analyses that wait for the database; more are lost."
    )
    dicom_capture: Capture = Field(
        default=Capture(),
        description="Size and encoding of captures; WSCXR_DICOM_CAPTURE__LONGEST, __ENCODING.",
    )
    log_level: Literal["info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged."
    )

    @field_validator("dicom_results", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.split(",") if isinstance(value, str) else value

    @field_validator("records")
    @classmethod
    def _known_database(cls, value: str) -> str:
        Location.parse(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_files > self.queue_size:
            raise ValueError(
                f"max_files ({self.max_files}) is above queue_size ({self.queue_size}): "
                "a full batch request could never be taken"
            )
        if self.max_body_bytes > self.max_held_bytes:
            raise ValueError(
                f"max_body_bytes ({self.max_body_bytes}) is above max_held_bytes "
                f"({self.max_held_bytes}): a full body could never be taken"
            )
        if self.max_batch > self.queue_size:
            raise ValueError(
                f"max_batch ({self.max_batch}) is above queue_size ({self.queue_size}): "
                "no batch could ever be full"
            )
        if self.api_key is not None and self.api_key_file is not None:
            raise ValueError("give api_key or api_key_file, not both")
        # Read now, so that a service that cannot check keys never starts.
        if self.key is not None and len(self.key.get_secret_value()) < _MIN_KEY_LENGTH:
            raise ValueError(f"the API key is shorter than {_MIN_KEY_LENGTH} characters")
        if self.api_keys_file is not None:
            try:
                read_keys(self.api_keys_file)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    @cached_property
    def key(self) -> SecretStr | None:
        """The API key, given itself or in a file; None when requests need none."""
        if self.api_key_file is None:
            return self.api_key
        try:
            return SecretStr(self.api_key_file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"api_key_file cannot be read: {error}") from error

    @property
    def needs_key(self) -> bool:
        """Whether requests must carry a key."""
        return self.key is not None or self.api_keys_file is not None

    @property
    def image_limits(self) -> ImageLimits:
        """The bounds on one image file."""
        return ImageLimits(max_bytes=self.max_body_bytes, max_pixels=self.max_pixels)
