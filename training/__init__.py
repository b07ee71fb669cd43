"""Offline: images -> features -> discriminator -> bundle. Imports `wscxr`, never `service`."""
