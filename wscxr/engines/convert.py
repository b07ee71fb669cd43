"""A PyTorch network -> OpenVINO's own form, in memory."""

import warnings

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import nn

from wscxr.errors import EngineUnavailable


def convert(module: nn.Module, shape: tuple[int, ...]) -> openvino.Model:
    """Convert a network, for inputs of one shape.

    Not by `openvino.convert_model`: that reports to its makers that it was used.

    Parameters
    ----------
    module
        In evaluation mode, on the CPU.
    shape
        Shape of the input, with the batch.

    Raises
    ------
    EngineUnavailable
        OpenVINO does not know some of its operations.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Tracing is deprecated, but the converter of torch.export takes ten times as long.
            warnings.simplefilter("ignore")
            decoder = TorchScriptPythonDecoder(
                module.eval(),
                example_input=torch.zeros(shape),
                trace_kwargs={"check_trace": False},
            )
            frontend = FrontEndManager().load_by_framework("pytorch")
            model = frontend.convert(frontend.load(decoder))
    except Exception as error:
        # Whatever it is that OpenVINO does not know.
        raise EngineUnavailable(f"OpenVINO cannot run this network: {error}; use torch") from error
    model.reshape(list(shape))
    return model
