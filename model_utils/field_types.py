"""Types of the configuration's fields: what may be written in YAML or on the command line, and its range.

Pydantic reads them. A problem becomes the end of a sentence, "must be ..."; ``explain`` words those of Pydantic itself.
"""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import core_schema

from model_utils.errors import shown
from model_utils.sizes import Size, parse_size, size_text

T = TypeVar("T")
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and halves of characters
WHOLE, NUMBER = "a whole number", "a number"
WORDS = {
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_parsing_size": WHOLE,
    "int_from_float": WHOLE,
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_unicode": "text",
    "tuple_type": "values with commas between them",
    "too_short": "one value or several with commas between them",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
}


def explain(error: dict[str, Any]) -> str:
    """``must be above 0, not '-1'``, from one of Pydantic's ``ValidationError.errors()``."""
    limits = error.get("ctx", {})
    if error["type"] == "value_error":
        problem = str(limits["error"])
    else:
        limits = {name: int(n) if isinstance(n, float) and n.is_integer() else n for name, n in limits.items()}
        problem = f"must be {WORDS.get(error['type'], 'a value of another kind').format(**limits)}"
    return problem if ", not '" in problem else f"{problem}, not '{shown(error['input'])}'"


def expand(text: str) -> str:
    """A path with its ``~`` and ``${VARIABLE}`` replaced.

    Raises:
        ValueError: there is no such variable or home folder.
    """
    for name in re.findall(r"\$\{(\w+)\}", text):
        if name not in os.environ:
            raise ValueError(f"must name variables that are set, and ${{{name}}} is not")
        text = text.replace(f"${{{name}}}", os.environ[name])
    try:
        return str(Path(text).expanduser()) if text.startswith("~") else text
    except RuntimeError:
        raise ValueError("must start with a home folder that exists") from None


def user_path(text: str) -> Path:
    """A path on a command line, as ``expand`` reads it; for argparse.

    Raises:
        ArgumentTypeError: as ``expand``; or it is empty, or nothing can have that name.
    """
    try:
        if not text or UNFIT.search(text):
            raise ValueError("must be a path without control characters")
        path = Path(expand(text))
        path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot be read ({error.strerror}): '{shown(text)}'") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: '{shown(text)}'") from None
    return path


class _Choices:
    """Turns a ``Literal`` into a type whose values may be written in any case."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        by_text = {str(choice).lower(): choice for choice in get_args(source)}

        def choose(value: Any) -> Any:
            text = "" if isinstance(value, list | dict) else str(value).lower()
            if text not in by_text:
                raise ValueError(f"must be one of {', '.join(map(str, by_text.values()))}")
            return by_text[text]

        return core_schema.no_info_plain_validator_function(choose)


def _plain(value: Any) -> Any:
    """A truth value is no number."""
    return str(value).lower() if isinstance(value, bool) else value


def _text(value: Any) -> Any:
    if isinstance(value, str) and UNFIT.search(value):
        raise ValueError("must be text without control characters")
    return value if isinstance(value, list | dict) else "" if value is None else str(value)


def _parts(value: Any) -> Any:
    if isinstance(value, list | dict):
        return value
    return [part.strip() for part in str(value).split(",")] if str(value).strip() else []


def _size(value: Any) -> Size:
    try:
        return parse_size(",".join(map(str, value)) if isinstance(value, list) else str(value), least=0)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from None


def _square(value: Any) -> Any:
    """One number is a square."""
    return f"{value},{value}" if "," not in str(value) else value


def _four(value: tuple) -> tuple:
    if len(value) != 4:
        raise ValueError("must be four whole numbers like 3,4,23,3")
    return value


def _two(value: tuple) -> tuple:
    if len(value) != 2:
        raise ValueError("must be two whole numbers like 15,120")
    return value


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError("must be between 0 and 1 (both excluded)")
    return value


def _loss_scale(value: str) -> str:
    if not re.fullmatch(r"dynamic|0*[1-9]\d{,9}(\.\d*)?", value):
        raise ValueError("must be dynamic or a number from 1 on")
    return value


def _kind(value: Any) -> Any:
    text = str(value).strip().lower()
    if text.isdigit():
        raise ValueError(f"must be a kind: Ascend, GPU, CPU or auto; a chip's number is --device_id {text}")
    return {"npu": "Ascend", "cuda": "GPU"}.get(text, value)


def known_in(*tables: Mapping[str, Any]) -> AfterValidator:
    """A name that one of the tables has when the value is read."""

    def check(value: str) -> str:
        names = [name for table in tables for name in table]
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return AfterValidator(check)


Choice = Annotated[T, _Choices()]
Kind = Annotated[Choice[Literal["auto", "Ascend", "GPU", "CPU"]], BeforeValidator(_kind)]  # of device
_Int = Annotated[int, BeforeValidator(_plain)]
Whole = Annotated[_Int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[_Int, Field(gt=0, le=2**31 - 1)]
Seed = Annotated[_Int, Field(ge=0, le=2**32 - 1)]
Classes = Annotated[_Int, Field(gt=0, le=254)]  # a trainId is a byte; 254 and 255 are none
Threads = Annotated[_Int, Field(ge=0, le=4096)]
Number = Annotated[float, BeforeValidator(_plain), Field(allow_inf_nan=False)]
Weight = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Scale = Annotated[Number, Field(ge=0.1, le=10)]  # of an image's sides
Share = Annotated[Number, AfterValidator(_share)]
Text = Annotated[str, BeforeValidator(_text)]
FileName = Annotated[Text, AfterValidator(expand)]  # of a file or a folder, or empty
LossScale = Annotated[Text, AfterValidator(_loss_scale)]

_AsText = PlainSerializer(lambda values: ",".join(map(str, values)))
Several = Annotated[tuple[T, ...], BeforeValidator(_parts), Field(min_length=1), _AsText]
Four = Annotated[Several[T], AfterValidator(_four)]
Two = Annotated[Several[T], AfterValidator(_two)]

SizeOrNone = Annotated[Size, BeforeValidator(_size), PlainSerializer(size_text)]  # 0,0 is none
PixelSize = Annotated[tuple[Count, Count], BeforeValidator(_size), PlainSerializer(size_text)]
Crop = Annotated[PixelSize, BeforeValidator(_square)]
