"""Cityscapes (Cordts et al., CVPR 2016), described in configs/datasets/cityscapes.yaml, and its drawn trainIds."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from src.dataset.description import load_description
from src.dataset.labels import IGNORE, LABEL_ID, UNKNOWN
from src.dataset.listing import list_samples
from src.dataset.samples import Sample

IMAGE_END, LABEL_END = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAIN_IDS_END = "_gtFine_labelTrainIds.png"  # made by src.dataset.create_train_labels


def list_cityscapes(root: Path, split: str, list_file: Path | None = None, *, with_labels: bool = True) -> list[Sample]:
    """Images of a split, or those of ``list_file`` (lines ``city/name_leftImg8bit.png``); see ``list_samples``."""
    options = {"with_labels": with_labels, "key": "data_dir_target"}
    return list_samples(load_description("cityscapes"), root, split, list_file, **options)


def prefer_drawn(sample: Sample) -> Sample:
    """The sample with the trainIds that ``create_train_labels`` drew, where they are there."""
    drawn = sample.label.with_name(sample.label.name.replace(LABEL_END, TRAIN_IDS_END))
    if drawn == sample.label or not drawn.is_file():
        return sample
    table = np.full(256, UNKNOWN, np.uint8)
    table[:19], table[IGNORE] = sample.table[LABEL_ID], IGNORE
    return replace(sample, label=drawn, table=table)
