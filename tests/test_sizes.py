"""One order on every command line: W,H. (height, width) inside."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import export
import preprocess
from benchmarks import timing
from model_utils.errors import run
from model_utils.sizes import parse_size, size_text
from src.export.description import network_description, write_description
from tools import convert_om, make_world

ROOT = Path(__file__).resolve().parent.parent


def test_width_stands_first():
    assert parse_size("1024,512") == parse_size(" 1024 , 512 ") == (512, 1024)
    assert size_text((512, 1024)) == "1024,512"
    assert parse_size("0,0", least=0) == (0, 0) and parse_size("65535,1") == (1, 65535)


@pytest.mark.parametrize(
    "text", ["", "512", "1,2,3", "1024x512", "1024 512", "0,512", "512,65536", "-1,5", "a,b", "1.5,2"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be W,H like 1024,512"):
        parse_size(text)


def test_export_and_benchmarks_read_width_first():
    options, _ = export.parse_options(["--restore_from", "a.ckpt", "--size", "96,64"])
    assert options.size == (64, 96)
    parser = argparse.ArgumentParser()
    timing.add_options(parser)
    assert parser.parse_args(["--source_size", "96,64"]).source_size == (64, 96)


def test_compilers_get_height_first(tmp_path):
    (tmp_path / "net.onnx").touch()
    write_description(tmp_path / "net.onnx", network_description("icnet", (512, 1024)))
    options = argparse.Namespace(model=tmp_path / "net.onnx", soc_version="x", batches=[1], aipp=False)
    options.size, options.out = parse_size("96,64"), tmp_path / "om"
    assert "--input_shape=image:1,3,64,96" in convert_om.write_commands(options)[0]


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (preprocess.main, "in out --size 512"),
        (export.main, "--restore_from a.ckpt --size 512"),
        (convert_om.main, "a.onnx Ascend310 --size 512 1024"),
        (make_world.main, "out --source_size 1914"),
        (make_world.main, "out --target_size 0,1"),
    ],
)
def test_programs_refuse_a_single_number(main, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(main, words.split())
    assert stopped.value.code == 2 and "must be W,H like 1024,512" in capsys.readouterr().err


@pytest.mark.slow
def test_help_says_the_order():
    for program in ("export.py", "preprocess.py", "benchmarks/train_step.py"):
        command = [sys.executable, program, "--help"]
        printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert "--size W,H" in printed and ("1024,512" in printed or "512,256" in printed)


def test_sizes_need_no_package():
    """The PyTorch side of the benchmarks reads them in another interpreter."""
    code = "import sys; from model_utils import sizes; assert not {'yaml', 'pydantic', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, check=True)
