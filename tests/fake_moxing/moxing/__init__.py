"""Stand-in for Huawei's moxing: obs://BUCKET/KEY is $FAKE_OBS/BUCKET/KEY."""

import logging

from moxing import file  # noqa: F401

logging.root.setLevel(logging.INFO)  # as the genuine one does
