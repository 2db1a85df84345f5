"""Pieces of a page that holds its pictures and asks no network for anything; ``page.html`` draws them."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

# ("table" or, when its last row is one, "total", head, rows), ("p" or "h3", text, "", "note", "good" or "bad"),
# ("folded", title, text) that opens with a click, or an image.
Part = tuple[str, object, object]
Section = tuple[str, list[Part]]  # title, parts


def page(title: str, note: str, sections: list[Section]) -> str:
    """A whole document; the sections are linked at its top. All text is escaped."""
    folder = FileSystemLoader(Path(__file__).parent)
    pages = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return pages.get_template("page.html").render(title=title, note=note, sections=sections)


def chart(path: Path) -> Part:
    """A PNG file as it is."""
    return _image(path.stem, "png", path.read_bytes())


def photo(picture: Image.Image, title: str) -> Part:
    """A picture of a scene, as JPEG: a fifth of the PNG's size."""
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=90, subsampling=0)
    return _image(title, "jpeg", data.getvalue())


def _image(title: str, kind: str, data: bytes) -> Part:
    return "image", title, f"image/{kind};base64,{base64.b64encode(data).decode()}"


def number(value: float | None, digits: int = 2) -> str:
    """A dash for what is not there."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
