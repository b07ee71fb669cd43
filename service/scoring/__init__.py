"""From the bytes of an upload to an answer: registry, pipeline, batching."""
