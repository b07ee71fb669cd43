"""The networks of a detector in PyTorch, and the files of a bundle that hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import safetensors.torch
from torch import Tensor, nn

from wscxr.anatomy import LungNetwork
from wscxr.bundle.manifest import BundleManifest, FileName
from wscxr.errors import WeightsError
from wscxr.model.backbone import Backbone, build_backbone
from wscxr.model.lesions import LesionNetwork
from wscxr.model.weights import half_where_exact, weights_sha256

N = TypeVar("N", bound=nn.Module)


class Networks(Protocol):
    """The networks that engines run, for a bundle to embed.

    Attributes
    ----------
    backbone
        Frozen trunk.
    lungs
        Finds the lungs; None where the detector looks at the whole picture.
    lesions
        Finds lesions; None where the detector hears its head alone.
    """

    @property
    def backbone(self) -> Backbone: ...  # noqa: D102 - said above

    @property
    def lungs(self) -> LungNetwork | None: ...  # noqa: D102 - said above

    @property
    def lesions(self) -> LesionNetwork | None: ...  # noqa: D102 - said above


@dataclass(frozen=True)
class TrainedNetworks:
    """Networks of a detector that was just trained; see `Networks`."""

    backbone: Backbone
    lungs: LungNetwork | None
    lesions: LesionNetwork | None = None


class StoredNetworks:
    """Networks that are built from a bundle's files when somebody asks; see `Networks`.

    Parameters
    ----------
    manifest
        What the bundle says of them.
    content
        Its files.
    """

    def __init__(self, manifest: BundleManifest, content: Mapping[FileName, bytes]) -> None:
        self._manifest = manifest
        self._content = content

    @cached_property
    def backbone(self) -> Backbone:
        """Frozen trunk."""
        manifest, embedded = self._manifest, self._content.get("backbone.safetensors")
        if embedded is None:
            backbone = build_backbone(manifest.backbone, manifest.input.size)
        else:
            backbone = Backbone(manifest.backbone, manifest.input.size)
            backbone.load_weights(safetensors.torch.load(embedded))
        if weights_sha256(backbone.weights()) != manifest.backbone_sha256:
            raise WeightsError("these are not the backbone weights it was trained with")
        return backbone

    @cached_property
    def lungs(self) -> LungNetwork | None:
        """Finds the lungs; None where the detector looks at the whole picture."""
        return self.load_lungs() if "lungs.safetensors" in self._content else None

    @cached_property
    def lesions(self) -> LesionNetwork | None:
        """Finds lesions; None where the detector hears its head alone."""
        return self.load_lesions() if "lesions.safetensors" in self._content else None

    def load_lungs(self) -> LungNetwork:
        """Load the network that finds the lungs; a bundle without one raises KeyError."""
        return self._load(LungNetwork(), "lungs.safetensors")

    def load_lesions(self) -> LesionNetwork:
        """Load the network that finds lesions; a bundle without one raises KeyError."""
        return self._load(LesionNetwork(), "lesions.safetensors")

    def _load(self, network: N, name: FileName) -> N:
        network.load_state_dict(safetensors.torch.load(self._content[name]))
        return network.eval()


def network_files(networks: Networks, *, embed_backbone: bool) -> dict[FileName, bytes]:
    """The files of a bundle that hold networks."""
    files: dict[FileName, bytes] = {}
    if (lungs := networks.lungs) is not None:
        files["lungs.safetensors"] = _compact(lungs.state_dict())
    if (lesions := networks.lesions) is not None:
        files["lesions.safetensors"] = _compact(lesions.state_dict())
    if embed_backbone:
        files["backbone.safetensors"] = _compact(networks.backbone.weights())
    return files


def _compact(state: dict[str, Tensor]) -> bytes:
    on_cpu = {key: value.cpu() for key, value in state.items()}
    return safetensors.torch.save(half_where_exact(on_cpu))
