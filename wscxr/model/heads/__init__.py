"""Heads: what turns a patch feature into a score, and how a bundle says which one it holds.

Every head is a module from float32 of shape (B, H', W', C') to scores of shape (B, H', W'), most of
them for any leading shape: about 0 or less on normal patches, 1 and more on clearly anomalous ones.
Its configuration builds it, empty; its tensors come from the bundle. A new kind of head is one
module beside these, named here.
"""

from typing import Annotated

from pydantic import Field

from wscxr.model.heads.discriminator import Discriminator, DiscriminatorConfig
from wscxr.model.heads.memory_bank import MemoryBank, MemoryBankConfig
from wscxr.model.heads.positional import PositionalConfig, PositionalDiscriminator

Head = Discriminator | MemoryBank | PositionalDiscriminator

HeadConfig = Annotated[
    DiscriminatorConfig | MemoryBankConfig | PositionalConfig, Field(discriminator="kind")
]
