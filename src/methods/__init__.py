"""Training methods, one update rule a file. Nothing heavy is imported here: the configuration reads the names.

A method's file has ``build(config, network, optimizer, engine) -> Run`` and, where its batches hold more than images
and labels, ``batches(config, device, stream, start)``; see docs/extending.md.
"""

from importlib import import_module
from types import ModuleType

# Name in the configuration -> its file.
ONE_DOMAIN = {"supervised": "src.methods.supervised"}  # labelled images: train_src.py
TWO_DOMAINS = {  # labelled source and unlabelled target images: train_adv.py
    "adversarial": "src.methods.adversarial",
    "min_entropy": "src.methods.min_entropy",
    "statistics_only": "src.methods.statistics_only",
    "dacs": "src.methods.dacs",
}


def method_of(name: str) -> ModuleType:
    """The file of a method."""
    return import_module({**ONE_DOMAIN, **TWO_DOMAINS}[name])
