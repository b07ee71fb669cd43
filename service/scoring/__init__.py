"""From the bytes of an upload to a prediction: registry, batching, pipeline."""
