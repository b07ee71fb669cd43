"""The methods WSCXR is compared with: each a file of its own, written from its paper."""
