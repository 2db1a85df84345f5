"""Pieces of a page that holds its pictures and asks no network for anything."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

# The browser itself is told to fetch nothing.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1e2228; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.3rem; margin-top: 2.6rem }
h3 { font-size: 1.05rem; margin-top: 1.6rem } nav a { margin-right: 1.1rem; white-space: nowrap }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0 }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #d9dde2; overflow-wrap: break-word }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
tr.total td { font-weight: 600; border-top: 2px solid #1e2228 }
img { max-width: 100%; height: auto; display: block; margin: .6rem 0 } .note { color: #59616b }
.bad { color: #a61b1b; font-weight: 600 } .good { color: #1b6e3c; font-weight: 600 }
pre { background: #f4f5f7; padding: .6rem .8rem; overflow-x: auto; font-size: .8rem } summary { cursor: pointer }
"""

Section = tuple[str, list[str]]  # title, parts


def page(title: str, note: str, sections: list[Section]) -> str:
    """A whole document; the sections are linked at its top."""
    links = "".join(f'<a href="#s{i}">{escape(name)}</a>' for i, (name, _) in enumerate(sections))
    body = "".join(f'<h2 id="s{i}">{escape(name)}</h2>{"".join(parts)}' for i, (name, parts) in enumerate(sections))
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style>'
    top = f"<h1>{escape(title)}</h1>{paragraph(note, 'note') if note else ''}<nav>{links}</nav>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{top}{body}</body></html>\n'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], has_total: bool = False) -> str:
    """Text only; the last row is a total when ``has_total``."""
    lines = [_row("th", head)]
    lines += [_row("td", cells, has_total and number == len(rows) - 1) for number, cells in enumerate(rows)]
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str], is_total: bool = False) -> str:
    return f"<tr{' class=total' if is_total else ''}>{''.join(f'<{tag}>{escape(c)}</{tag}>' for c in cells)}</tr>"


def paragraph(text: str, kind: str = "") -> str:
    """kind: empty, note, good or bad."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def heading(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def folded(title: str, text: str) -> str:
    """Long text that opens with a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def chart(path: Path) -> str:
    """A PNG file as it is."""
    return _image(path.stem, "png", path.read_bytes())


def photo(picture: Image.Image, title: str) -> str:
    """A picture of a scene, as JPEG: a fifth of the PNG's size."""
    data = io.BytesIO()
    picture.convert("RGB").save(data, "JPEG", quality=90, subsampling=0)
    return _image(title, "jpeg", data.getvalue())


def _image(title: str, kind: str, data: bytes) -> str:
    return f'<img alt="{escape(title)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def number(value: float | None, digits: int = 2) -> str:
    """A dash for what is not there."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"
