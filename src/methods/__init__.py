"""Training methods, one update rule a file. Nothing heavy is imported here: the configuration reads the names.

A method's file has ``build(config, network, optimizer, engine) -> Run``; see docs/extending.md.
"""

# Name in the configuration -> its file.
ONE_DOMAIN = {"supervised": "src.methods.supervised"}  # labelled images: train_src.py
TWO_DOMAINS = {  # labelled source and unlabelled target images: train_adv.py
    "adversarial": "src.methods.adversarial",
    "min_entropy": "src.methods.min_entropy",
    "statistics_only": "src.methods.statistics_only",
}
