"""The methods that become bundles: their settings, and one module for each."""
