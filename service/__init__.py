"""Online: a FastAPI app that serves bundles. Imports `wscxr`, never `training`."""

# First, so that it settles how PyTorch's threads wait before anything imports PyTorch.
import wscxr as wscxr
