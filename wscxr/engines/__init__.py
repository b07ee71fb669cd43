"""How a network is run: PyTorch, or OpenVINO on a CPU, in float32 or bfloat16."""

from wscxr.engines.choose import open_engine
from wscxr.engines.engine import Blueprint, Engine, Network
from wscxr.engines.identity import EngineIdentity

__all__ = ["Blueprint", "Engine", "EngineIdentity", "Network", "open_engine"]
