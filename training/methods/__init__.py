"""All methods that become bundles; a new one is one file, named here."""

from typing import Annotated, get_args

from pydantic import Field

from training.methods.authors import AuthorsRecipe
from training.methods.base import Method
from training.methods.patchcore import PatchCore
from training.methods.positional import PositionalWscxr
from training.methods.simplenet import SimpleNet
from training.methods.wscxr import Wscxr

AnyMethod = Annotated[
    PositionalWscxr | Wscxr | AuthorsRecipe | PatchCore | SimpleNet, Field(discriminator="name")
]

METHODS: dict[str, type[Method]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyMethod)[0])
}
"""Each method by its name."""
