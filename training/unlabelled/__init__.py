"""Self-training on an archive that nobody has labelled."""
