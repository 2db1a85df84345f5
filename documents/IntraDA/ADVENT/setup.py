"""``pip3 install -e .`` as the documents have it installs what this project needs; there is no package here."""

from pathlib import Path

from setuptools import setup

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements.txt"
lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()]
setup(
    name="documents-needs", version="1", packages=[], py_modules=[], install_requires=[line for line in lines if line]
)
