"""Compiling the operators into a cache, for this MindSpore, this processor and these sources."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import mindspore as ms

from model_utils.errors import UserError

FOLDER = Path(__file__).parent
TRIED = "2.10."  # MindSpore's version: threads are asked for by names of that library
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-fPIC", "-shared")
CHOICES = ("auto", "off")


class NotThereError(Exception):
    """Why the operators cannot be had."""


def chosen() -> str:
    """The value of ``CPU_OPERATORS``.

    Raises:
        UserError: it is none of ``CHOICES``.
    """
    value = os.environ.get("CPU_OPERATORS") or "auto"
    if value not in CHOICES:
        raise UserError(f"CPU_OPERATORS: {value} is none of {', '.join(CHOICES)}; unset it")
    return value


def features() -> str:
    """Model and instruction sets of this processor as Linux tells them, "" elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(dict(re.findall(r"^(model name|flags)\s*: (.*)$", text, re.MULTILINE)).values())


def cache_folder() -> Path:
    """Where compiled operators are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, and there ``mindspore_cpu_operators``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindspore_cpu_operators"


@lru_cache
def library() -> Path:
    """The compiled operators, from the cache or made now (a few seconds).

    Raises:
        NotThereError: another MindSpore, no compiler, or it failed.
    """
    if not ms.__version__.startswith(TRIED):
        raise NotThereError(f"MindSpore {ms.__version__} instead of {TRIED}x")
    libraries = Path(ms.__file__).parent / "lib"
    if not (libraries / "libdnnl.so.3").exists():
        raise NotThereError("no libdnnl.so.3 in MindSpore")
    sources = [path.read_text(encoding="utf-8") for path in sorted((*FOLDER.glob("*.cc"), *FOLDER.glob("*.h")))]
    known_by = (ms.__version__, str(libraries), features(), *FLAGS, *sources)
    key = hashlib.sha256("\0".join(known_by).encode()).hexdigest()[:16]
    found = cache_folder() / f"{key}.so"
    if not found.exists():
        try:
            _compile(found, libraries)
        except OSError as error:
            raise NotThereError(f"{found.parent}: {error.strerror or error}") from error
    return found


def _compile(path: Path, libraries: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        raise NotThereError("no g++")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        links = (f"-L{libraries}", "-l:libdnnl.so.3", f"-Wl,-rpath,{libraries}", "-ldl")
        words = [compiler, *FLAGS, *map(str, sorted(FOLDER.glob("*.cc"))), "-o", str(made), *links]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise NotThereError(f"g++ failed: {lines[0]}")
        made.replace(path)  # several processes may compile at once: each finds a whole file
