"""What requests and answers of the protocol say in JSON, and the tensors of our models."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from wscxr.bundle.bundle import Bundle

INPUT = "image"
"""Name of the one input tensor: an encoded file in each element."""

MAP = "anomaly_map"
"""Name of the output tensor that comes only when it is named, because of its size."""

_IMAGE: dict[str, Any] = {"type": "string", "format": "byte", "contentEncoding": "base64"}


def _empty_if_null(value: object) -> object:
    # KServe's client writes null where there are no parameters.
    return {} if value is None else value


class _Message(BaseModel):
    # Base64 is decoded while the JSON is read.
    model_config = ConfigDict(frozen=True, val_json_bytes="base64")


class InputParameters(_Message):
    """How an input tensor is sent."""

    content_type: Literal["base64"] | None = Field(
        default=None, description="How JSON carries each element; base64 is the only way."
    )
    binary_data_size: int | None = Field(
        default=None, ge=0, description="Bytes of this tensor behind the JSON, in place of `data`."
    )


class OutputParameters(_Message):
    """How an output tensor is to be sent.

    Other parameters are refused: each would change what the output means.
    """

    model_config = ConfigDict(extra="forbid")

    binary_data: bool | None = Field(
        default=None, description="Whether it comes behind the JSON, in binary."
    )


class RequestParameters(_Message):
    """How all output tensors are to be sent."""

    binary_data_output: bool = Field(
        default=False, description="Whether outputs come behind the JSON, in binary."
    )


class RequestInput(_Message):
    """The input tensor `image`: N encoded files, each a PNG, JPEG or DICOM file."""

    name: Literal["image"]
    shape: tuple[PositiveInt] = Field(description="[N], the number of files.")
    datatype: Literal["BYTES"]
    parameters: Annotated[InputParameters, BeforeValidator(_empty_if_null)] = InputParameters()
    data: list[Annotated[bytes, Field(json_schema_extra=_IMAGE)]] | None = Field(
        default=None, description="The files in base64 (RFC 4648); none when they come in binary."
    )


class RequestOutput(_Message):
    """An output tensor that is asked for by name."""

    name: str = Field(description="One of the outputs in the model's metadata.")
    parameters: Annotated[OutputParameters, BeforeValidator(_empty_if_null)] = OutputParameters()


class InferenceRequest(_Message):
    """The JSON of an inference request."""

    id: str | None = Field(default=None, description="Comes back in the answer.")
    parameters: Annotated[RequestParameters, BeforeValidator(_empty_if_null)] = RequestParameters()
    inputs: tuple[RequestInput]
    outputs: list[RequestOutput] | None = Field(
        default=None, description=f"The outputs to send; without it, all but `{MAP}`."
    )


def request_schema() -> dict[str, Any]:
    """The JSON schema of an inference request, in one piece.

    The route reads the body itself, so FastAPI does not put the parts of this schema where
    references to them would lead.
    """
    schema = InferenceRequest.model_json_schema()
    parts = schema.pop("$defs")

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            rest = {name: value for name, value in node.items() if name != "$ref"}
            return inlined({**parts[node["$ref"].removeprefix("#/$defs/")], **rest})
        return {name: inlined(value) for name, value in node.items()}

    whole: dict[str, Any] = inlined(schema)
    return whole


class ResponseParameters(_Message):
    """How an output tensor is sent."""

    binary_data_size: int = Field(ge=0, description="Its bytes behind the JSON.")


class ResponseOutput(_Message):
    """An output tensor."""

    name: str
    shape: list[int]
    datatype: str
    parameters: ResponseParameters | None = None
    data: list[float] | list[bool] | list[str] | None = Field(
        default=None, description="Its elements, flat, row by row; none when they come in binary."
    )


class InferenceResponse(_Message):
    """The JSON of the answer to an inference request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[ResponseOutput]


class TensorMetadata(_Message):
    """Name, datatype and shape of a tensor; -1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(_Message):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str = Field(description="What computes it.")
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    @classmethod
    def of(cls, bundle: Bundle) -> "ModelMetadata":
        """Describe a bundle; one without an OOD scorer has no `ood_score`."""
        datatypes = {
            "score": "FP32",
            "p_value": "FP32",
            "ood_score": "FP32",
            "anomalous": "BOOL",
            "decision": "BYTES",
            MAP: "FP32",
        }
        if bundle.ood is None:
            del datatypes["ood_score"]
        return cls(
            name=bundle.identity.name,
            versions=[bundle.identity.version],
            platform="pytorch_safetensors",
            inputs=[TensorMetadata(name=INPUT, datatype="BYTES", shape=[-1])],
            outputs=[
                TensorMetadata(name=name, datatype=datatype, shape=[-1] * (3 if name == MAP else 1))
                for name, datatype in datatypes.items()
            ],
        )


class ServerMetadata(_Message):
    """Which server this is."""

    name: str = "wscxr"
    version: str
    extensions: list[str] = ["binary_tensor_data"]


class ServerLive(_Message):
    """The process answers."""

    live: bool = True


class ServerReady(ServerLive):
    """Every model can be used; the protocol's text says `live` here, its clients read `ready`."""

    ready: bool = True


class ModelReady(_Message):
    """A model can be used."""

    name: str
    ready: bool = True


class ModelNames(_Message):
    """The names of all loaded models."""

    models: list[str]
