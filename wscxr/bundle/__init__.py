"""The bundle: what training writes and serving loads."""
