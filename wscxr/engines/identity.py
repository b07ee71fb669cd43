"""Which engine ran the networks: what answers, records, metrics and provenance say of it.

Importing this module loads no PyTorch.
"""

from pydantic import BaseModel, ConfigDict, Field

from wscxr.choices import EngineName, Precision


class EngineIdentity(BaseModel):
    """What ran the networks, and in which precision."""

    model_config = ConfigDict(frozen=True)

    name: EngineName = Field(description="torch or openvino.")
    precision: Precision = Field(description="float32 or bfloat16.")
