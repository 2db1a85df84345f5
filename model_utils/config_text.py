"""Text of YAML files and of the command line -> typed values, and back."""

import io
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from model_utils.errors import UserError

Size = tuple[int, int]  # (height, width); "W,H" in files and on the command line


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, in which 1e-4 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise UserError(f"{self.name}: key '{key_node.value}' stands twice; remove one")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """The file's keys and values, as they stand there.

    Raises:
        UserError: it cannot be read, is no YAML or no mapping, or repeats a key.
    """
    try:
        stream = io.StringIO(path.read_text(encoding="utf-8"))
        stream.name = str(path)
        raw = yaml.load(stream, _Loader) or {}  # a SafeLoader
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give an existing file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must be lines of 'key: value'")
    return raw


def convert(key: str, kind: Any, value: Any, where: object) -> Any:
    """One value, from YAML or the command line, as the type ``kind`` that Config declares for ``key``.

    Raises:
        UserError: it is none; names where it stands and the key.
    """
    problem = f"{where}: {key} must be"
    if get_origin(kind) is Literal:
        by_text = {str(choice).lower(): choice for choice in get_args(kind)}
        if str(value).lower() not in by_text:
            raise UserError(f"{problem} one of {', '.join(map(str, get_args(kind)))}, not '{value}'")
        return by_text[str(value).lower()]
    if kind is bool:
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        if str(value).lower() not in words:
            raise UserError(f"{problem} true or false, not '{value}'")
        return words[str(value).lower()]
    if kind is str:
        if isinstance(value, dict | list):
            raise UserError(f"{problem} text, not {value}")
        return "" if value is None else str(value)
    if get_origin(kind) is tuple:
        return _convert_tuple(key, kind, value, problem)
    return _number(kind, value, problem)


def _convert_tuple(key: str, kind: Any, value: Any, problem: str) -> tuple:
    parts = value if isinstance(value, list) else re.split(r"\s*,\s*", str(value).strip())
    if kind == Size:
        if key == "crop_size" and len(parts) == 1:
            parts = parts * 2  # a square
        numbers = [_number(int, part, f"{problem} W,H like 1024,512:") for part in parts]
        if len(numbers) != 2:
            raise UserError(f"{problem} W,H like 1024,512, not '{value}'")
        return numbers[1], numbers[0]
    return tuple(_number(get_args(kind)[0], part, problem) for part in parts)


def _number(kind: type, value: Any, problem: str) -> int | float:
    name = "a whole number" if kind is int else "a number"
    if isinstance(value, bool):
        raise UserError(f"{problem} {name}, not '{value}'")
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise UserError(f"{problem} {name}, not '{value}'") from None
    if isinstance(value, float) and number != value:
        raise UserError(f"{problem} {name}, not '{value}'")
    return number


def to_text(kind: Any, value: Any) -> Any:
    """The value as it is written to YAML; the inverse of ``convert``."""
    if kind == Size:
        return f"{value[1]},{value[0]}"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value
