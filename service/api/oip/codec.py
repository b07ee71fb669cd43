"""Bodies of the protocol: JSON alone, or JSON and then tensors in binary."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.api.oip.messages import (
    INPUT,
    MAP,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    RequestInput,
    RequestOutput,
    RequestParameters,
    ResponseOutput,
    ResponseParameters,
)
from service.errors import InvalidRequest

HEADER_LENGTH = "Inference-Header-Content-Length"
"""HTTP header that gives the bytes of the JSON when tensors follow in binary."""

_LENGTH = struct.Struct("<I")

Tensor = NDArray[np.float32] | NDArray[np.bool_] | list[bytes]
"""FP32, BOOL or BYTES."""


@dataclass(frozen=True)
class Inference:
    """A request that has been read: its JSON, and its files in order."""

    request: InferenceRequest
    files: list[bytes]


def read_request(body: bytes, header_length: str | None) -> Inference:
    """Read the body of an inference request.

    Parameters
    ----------
    body
        The whole body.
    header_length
        Value of the header `HEADER_LENGTH`; None without it: the body is JSON alone. With 0 the
        body is a single file, and all outputs are wanted in binary.

    Raises
    ------
    InvalidRequest
        The body does not keep to the protocol, or to the one input that models have.
    """
    if header_length is None:
        length = len(body)
    elif not (header_length.isascii() and header_length.isdigit()) or len(header_length) > 18:
        raise InvalidRequest(f"{HEADER_LENGTH} is no number")
    elif (length := int(header_length)) > len(body):
        raise InvalidRequest(f"{HEADER_LENGTH} is larger than the body")
    if length == 0 and header_length is not None:
        return _raw(body)
    try:
        request = InferenceRequest.model_validate_json(body[:length])
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{place or 'body'}: {first['msg']}") from None
    [image] = request.inputs
    return Inference(request, _files(image, memoryview(body)[length:]))


def write_response(
    request: InferenceRequest, model: ModelMetadata, tensors: Mapping[str, Tensor]
) -> tuple[bytes, int | None]:
    """Write the answer to an inference request.

    Parameters
    ----------
    request
        Says which outputs are wanted, and how; see `wanted_outputs`.
    model
        Describes the outputs.
    tensors
        The outputs by name.

    Returns
    -------
    bytes
        The body.
    int or None
        The length of its JSON, for the header `HEADER_LENGTH`; None where no tensor is in binary.
    """
    datatypes = {output.name: output.datatype for output in model.outputs}
    outputs = []
    tail = []
    for wanted in wanted_outputs(request, model):
        tensor = tensors[wanted.name]
        binary = wanted.parameters.binary_data
        if binary is None:
            binary = request.parameters.binary_data_output
        if binary:
            tail.append(_to_bytes(tensor))
        outputs.append(
            ResponseOutput(
                name=wanted.name,
                shape=[len(tensor)] if isinstance(tensor, list) else list(tensor.shape),
                datatype=datatypes[wanted.name],
                parameters=ResponseParameters(binary_data_size=len(tail[-1])) if binary else None,
                data=None if binary else _to_list(tensor),
            )
        )
    response = InferenceResponse(
        model_name=model.name, model_version=model.versions[0], id=request.id, outputs=outputs
    )
    head = response.model_dump_json(exclude_none=True).encode()
    return b"".join([head, *tail]), len(head) if tail else None


def wanted_outputs(request: InferenceRequest, model: ModelMetadata) -> list[RequestOutput]:
    """The outputs to send: those that are named, or all but the map.

    Raises
    ------
    InvalidRequest
        The model has no such output, or one is named twice.
    """
    known = [output.name for output in model.outputs]
    if not request.outputs:
        return [RequestOutput(name=name) for name in known if name != MAP]
    names = [output.name for output in request.outputs]
    if len(set(names)) < len(names):
        raise InvalidRequest("outputs: one is named twice")
    if not set(names) <= set(known):
        raise InvalidRequest(f"outputs: the model has {', '.join(known)}, and no others")
    return request.outputs


def _raw(body: bytes) -> Inference:
    request = InferenceRequest(
        inputs=(RequestInput(name=INPUT, shape=(1,), datatype="BYTES"),),
        parameters=RequestParameters(binary_data_output=True),
    )
    return Inference(request, [body])


def _files(image: RequestInput, tail: memoryview) -> list[bytes]:
    size = image.parameters.binary_data_size
    if (size is None) == (image.data is None):
        raise InvalidRequest("inputs.0: give either data or binary_data_size")
    if len(tail) != (size or 0):
        raise InvalidRequest(
            f"{len(tail)} bytes follow the JSON where binary_data_size says {size or 0}"
        )
    files = _elements(tail) if image.data is None else image.data
    [count] = image.shape
    if len(files) != count:
        raise InvalidRequest(
            f"inputs.0: there are {len(files)} elements where the shape has {count}"
        )
    return files


def _elements(data: memoryview) -> list[bytes]:
    """Split a BYTES tensor: each element stands behind its length, 4 bytes, little-endian."""
    found = []
    while data:
        if len(data) < _LENGTH.size:
            raise InvalidRequest("inputs.0: the binary tensor ends within a length")
        [length] = _LENGTH.unpack_from(data)
        data = data[_LENGTH.size :]
        if len(data) < length:
            raise InvalidRequest("inputs.0: the binary tensor ends within an element")
        found.append(data[:length].tobytes())
        data = data[length:]
    return found


def _to_bytes(tensor: Tensor) -> bytes:
    if isinstance(tensor, list):
        return b"".join(_LENGTH.pack(len(element)) + element for element in tensor)
    return np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()


def _to_list(tensor: Tensor) -> list[float] | list[bool] | list[str]:
    if isinstance(tensor, list):
        return [element.decode() for element in tensor]
    return tensor.ravel().tolist()
