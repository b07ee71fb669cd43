"""The HTTP surface; each module is thin and names its paths in full."""
