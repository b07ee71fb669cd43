"""Calibrates a bundle again on a site's own images; its weights stay as they are."""
