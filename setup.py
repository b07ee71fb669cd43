"""The one thing pyproject.toml cannot say: ``model_store/`` is installed inside ``wscxr``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["wscxr*", "training*", "service*"]), "wscxr.model_store"],
    package_dir={"wscxr.model_store": "model_store"},
)
