"""Training of the lung network: from radiographs with drawn lung masks, and chests without.

A tenth of the patients is held out and only measured on. Radiographs without masks teach the
network through the running average of its own weights.
"""
