"""YAML files -> dictionaries, with one sentence for whatever is wrong in the text."""

import re
from pathlib import Path
from typing import Any

import yaml

from model_utils.errors import UserError, shown

# With a point or an exponent, so that 007 is text.
FLOAT = r"[-+]?((\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
DEEPEST = 20  # levels
KINDS = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.SafeLoader):
    """Plain values as YAML 1.2 has them: ``no`` and dates are text, ``1e-4`` is a number. No key stands twice."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012
    yaml_constructors = {  # noqa: RUF012
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in KINDS
    }
    depth = 0
    lines: dict[Any, int]  # of the keys of the mapping that was read last: the outermost

    def place(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        self.depth += 1
        if self.depth > DEEPEST:
            line = self.peek_event().start_mark.line + 1
            raise UserError(f"{self.name}:{line}: is nested too deeply; write lines of 'key: value'")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                hint = "is this a template that nothing filled in?"
                raise UserError(f"{self.place(key_node)}: a key must be a word, not a list or a mapping; {hint}")
            if key_node.value in lines:
                raise UserError(f"{self.place(key_node)}: key '{shown(key_node.value)}' stands twice; remove one")
            lines[key_node.value] = key_node.start_mark.line + 1
        self.lines = lines
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # e.g. !!bool maybe
            kind = node.tag.rpartition(":")[2]
            raise UserError(f"{self.place(node)}: '{shown(node.value)}' cannot be read as {kind}") from error


for kind, pattern, first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9]\d*)", list("-+0123456789")),
    ("float", FLOAT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$", re.ASCII), first)


def load_yaml(path: Path) -> dict[str, Any]:
    """The file's keys and values, as they stand there.

    Raises:
        UserError: it cannot be read, is no YAML in UTF-8 or no mapping, or repeats a key.
    """
    return load_with_lines(path)[0]


def load_with_lines(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """``load_yaml`` and the lines, from 1 on, at which the outermost keys stand."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give an existing file") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path}: is not text in UTF-8; save it in that encoding")
    try:
        loader = _Loader(text)  # which refuses control characters
        loader.name = str(path)
        raw = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join((error.problem or error.context or "").split())
        raise UserError(f"{path}:{mark.line + 1}: is not valid YAML: {problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if raw is None:
        return {}, {}
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must be lines of 'key: value'")
    return raw, loader.lines


def describe_keys(file: Path) -> str:
    """Each key's name, default and meaning, taken from the comments of ``advnet_config.yaml``."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if entry := re.match(r"(\w+):\s*(.*?)\s+#\s+(.*)", line):
            key, value, meaning = entry.groups()
            lines.append(f"  --{key} {value}\n        {meaning}")
        elif more := re.match(r"\s+#\s+(.*)", line):  # the comment goes on
            lines[-1] += f"\n        {more[1]}"
        elif line.startswith("# ----"):
            lines.append(f"\n{line.strip('# -')}:")
    return "\n".join(lines)
