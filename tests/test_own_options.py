"""Options of programs that are no keys of the configuration: spellings, repetitions, numbers."""

import pytest

import export
from model_utils.own_options import OwnOptions, whole


@pytest.fixture
def parser() -> OwnOptions:
    parser = OwnOptions(prog="x")
    parser.add_argument("--save_to")
    parser.add_argument("--out", "--output_path", dest="out")
    parser.add_argument("--workers", type=whole(1), default=2)
    return parser


def test_hyphens_are_underscores(parser):
    assert parser.parse_args(["--save-to", "a-b", "--output-path=c-d"]).__dict__ == {
        "save_to": "a-b",
        "out": "c-d",
        "workers": 2,
    }
    options, rest = export.parse_options(["--restore-from", "a.ckpt", "--batch-size", "2", "--num-workers", "1"])
    assert (options.batch_size, rest) == (2, ["--num_workers", "1"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--save-to a --save_to b", "option --save_to is given twice"),
        ("--out a --output_path=b", "option --output_path is given twice"),
        ("--save a", "unrecognized arguments: --save a"),
        ("--workers 0", "must be a whole number from 1 on, not '0'"),
        ("--workers -1", "must be a whole number from 1 on, not '-1'"),
        ("--workers 1.5", "must be a whole number from 1 on"),
        ("--workers 99999999999", "must be a whole number from 1 on"),
    ],
)
def test_what_is_refused(parser, capsys, line, message):
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(line.split())
    assert stopped.value.code == 2 and message in capsys.readouterr().err
