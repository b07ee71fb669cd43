"""How a network is run: PyTorch, or OpenVINO on a CPU, in float32 or bfloat16."""

from wscxr.engines.choose import choose_engine
from wscxr.engines.identity import EngineIdentity

__all__ = ["EngineIdentity", "choose_engine"]
