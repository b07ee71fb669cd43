"""The Open Inference Protocol, version 2, over HTTP, with the binary tensor extension.

KServe, Triton's clients and load-testing tools speak it. Sources: the Open Inference Protocol
(kserve/open-inference-protocol, `inference_rest.md`) and Triton's binary tensor data extension.
"""
