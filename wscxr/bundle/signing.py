"""Signed bundles: who made them can be checked, with Ed25519 (RFC 8032).

Hashes say that a bundle is whole. They cannot say that it is the one it is taken for: whoever can
write to a model store can change a bundle and make its hashes right again. A signature covers the
bundle's identity: its name and version, so that an older bundle cannot take the place of a newer
one, and the hash of its manifest, which holds the hash of every file, the model card among them.

It stands in ``bundle.sig`` beside the manifest; programs that know nothing of it ignore it.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Base64Bytes, BaseModel, ConfigDict, ValidationError

from wscxr.bundle.identity import ModelIdentity
from wscxr.errors import BundleUnsigned, BundleUntrusted, ConfigError
from wscxr.files import write_file

SIGNATURE = "bundle.sig"
"""Name of the file of the signature."""

_PURPOSE = b"wscxr bundle 1\n"
"""Begins what is signed, so that a signature made for something else says nothing of a bundle."""


class _Signature(BaseModel):
    """Content of the file: the `fingerprint` of the key, and the signature in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    signature: Base64Bytes


class TrustedKeys:
    """Public keys whose signatures count.

    Parameters
    ----------
    keys
        The keys; at least one.
    """

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {fingerprint(key): key for key in keys}

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        """Read keys.

        Parameters
        ----------
        paths
            PEM files of one public key each, or folders of them (``*.pem``).

        Raises
        ------
        ConfigError
            There is none, or a file holds no Ed25519 public key.
        """
        keys = []
        for path in paths:
            files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
            if not files:
                raise ConfigError(f"there is no public key (*.pem) in {path}")
            keys += [_read_public(file) for file in files]
        return cls(keys)

    def check(self, path: Path, identity: ModelIdentity) -> str:
        """Make sure that one of the keys signed a bundle.

        Parameters
        ----------
        path
            Its folder.
        identity
            Its identity; the hash must have been verified.

        Returns
        -------
        str
            The `fingerprint` of the key.

        Raises
        ------
        BundleUnsigned
            It has no signature.
        BundleUntrusted
            Another key signed it, or it is not what was signed.
        """
        try:
            signature = _Signature.model_validate_json((path / SIGNATURE).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise BundleUnsigned(f"the bundle at {path} has no signature ({SIGNATURE})") from None
        except ValidationError:
            raise BundleUntrusted(f"{path / SIGNATURE} is no signature") from None
        key = self._keys.get(signature.key)
        if key is None:
            raise BundleUntrusted(f"the bundle at {path} was signed with a key that is not trusted")
        try:
            key.verify(signature.signature, _signed(identity))
        except InvalidSignature:
            raise BundleUntrusted(
                f"the bundle at {path} is not the one that was signed: it was changed, or it was "
                f"signed under another name or version than {identity.name}/{identity.version}"
            ) from None
        return signature.key


def sign(path: Path, identity: ModelIdentity, key_file: Path) -> str:
    """Sign a bundle; an older signature is replaced.

    Parameters
    ----------
    path
        Its folder.
    identity
        Its identity; the hashes must have been verified.
    key_file
        PEM file of an Ed25519 private key, without a password.

    Returns
    -------
    str
        The `fingerprint` of the key.

    Raises
    ------
    ConfigError
        The file holds no such key.
    """
    key = _read_private(key_file)
    known = fingerprint(key.public_key())
    signature = _Signature(key=known, signature=base64.b64encode(key.sign(_signed(identity))))
    write_file(path / SIGNATURE, signature.model_dump_json(indent=1).encode() + b"\n")
    return known


def new_key(private: Path) -> Path:
    """Make a key to sign with, and write it; only its owner may read it.

    Parameters
    ----------
    private
        File of the private key, PEM (PKCS #8, no password); must not exist.

    Returns
    -------
    Path
        File of the public key, beside it: ``NAME.pub.pem``.

    Raises
    ------
    ConfigError
        One of the files exists.
    """
    public = private.with_suffix(".pub.pem")
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, mode, content in ((private, 0o600, secret), (public, 0o644, shown)):
        try:
            path.touch(mode, exist_ok=False)
        except FileExistsError:
            raise ConfigError(f"{path} exists; keys are never overwritten") from None
        path.write_bytes(content)
    return public


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 bytes of a public key, as 64 hex digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _signed(identity: ModelIdentity) -> bytes:
    return _PURPOSE + json.dumps([identity.name, identity.version, identity.sha256]).encode()


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no public key in PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} is no Ed25519 key")
    return key


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own words might quote the file.
        raise ConfigError(f"{path} is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key")
    return key
