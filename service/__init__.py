"""Online: a FastAPI app that serves bundles. Imports `wscxr`, never `training`."""
