"""Offline: images -> features -> discriminator -> bundle. Imports `wscxr`, never `service`."""

# First, so that it settles how PyTorch's threads wait before anything imports PyTorch.
import wscxr as wscxr
