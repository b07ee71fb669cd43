"""All methods that become bundles; a new one is one file, named here."""

from typing import Annotated, get_args

from pydantic import Field

from training.baselines.authors import AuthorsRecipe
from training.baselines.patchcore import PatchCore
from training.baselines.simplenet import SimpleNet
from training.method import Method
from training.positional_method import PositionalWscxr
from training.wscxr_method import Wscxr

AnyMethod = Annotated[
    PositionalWscxr | Wscxr | AuthorsRecipe | PatchCore | SimpleNet, Field(discriminator="name")
]

METHODS: dict[str, type[Method]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyMethod)[0])
}
"""Each method by its name."""
