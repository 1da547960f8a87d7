"""What pyproject.toml cannot say: found packages, and conf/ inside `sweep` once it is installed."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["sweep*", "analysis*"]), "sweep.conf"], package_dir={"sweep.conf": "conf"})
