"""What drives on a street: cars, trucks, buses, trams.

``z`` is the end that faces the camera; ``towards`` says whether that is the front.
"""

import numpy as np

from src.street_world.canvas import BUS, CAR, TRAIN, TRUCK, Canvas, Color
from src.street_world.street import DARK, WHITE

GLASS, TYRE = (44, 56, 68), (24, 24, 26)
LAMP, TAIL = (250, 244, 220), (196, 24, 24)
# roof height, bonnet (z before the windscreen), tail (z behind the cabin), length: saloon, hatchback, van
CAR_FORMS = ((1.45, 1.15, 0.75, 4.5), (1.5, 0.95, 0.12, 3.9), (1.85, 0.75, 0.06, 4.5))


def car(canvas: Canvas, rng, x, z, color: Color, towards: bool) -> None:
    """Wheels, body, bonnet or boot, cabin with its windows, lamps, plate and mirrors."""
    top, bonnet, tail, length = CAR_FORMS[rng.choice(3, p=[0.4, 0.42, 0.18])]
    half, waist, roof = 0.9, 0.92, 0.66
    first, last = (bonnet, tail) if towards else (tail, bonnet)
    slope = 0.65 if towards or tail > 0.5 else 0.3
    inner = x - half if x > 0 else x + half
    sign = 1 if inner > x else -1
    shade = canvas.facing(inner, x - half, x + half)
    near, far = z + first, z + length - last
    for edge in (x - half + 0.02, x + half - 0.24):
        canvas.rectangle(edge, edge + 0.22, 0.0, 0.4, z + 0.55, CAR, TYRE)
    canvas.side(inner, 0.24, waist, z, z + length, CAR, color, shade)
    canvas.side(inner, 0.24, 0.34, z, z + length, None, DARK)
    for along in (0.75, length - 0.8):
        wheel(canvas, inner, 0.33, z + along, CAR)
    low, high = x + sign * 0.84, x + sign * roof
    cabin = [(low, waist, near), (low, waist, far), (high, top, far - 0.4), (high, top, near + slope)]
    canvas.polygon(cabin, CAR, color, shade * 0.94)
    if x - half > 0 or x + half < 0:
        y0, y1, pillar = waist + 0.05, top - 0.09, (near + slope + far - 0.4) / 2
        lean = (high - low) / (top - waist)
        a, b = low + lean * 0.05, low + lean * (y1 - waist)
        canvas.polygon(
            [(a, y0, near + 0.25), (a, y0, pillar - 0.06), (b, y1, pillar - 0.06), (b, y1, near + slope)],
            None,
            GLASS,
            shade,
        )
        canvas.polygon(
            [(a, y0, pillar + 0.06), (a, y0, far - 0.25), (b, y1, far - 0.45), (b, y1, pillar + 0.06)],
            None,
            GLASS,
            shade,
        )
    _car_end(canvas, x, z, near, (top, waist, slope, roof, half), color, towards)


def _car_end(canvas: Canvas, x, z, near, form, color: Color, towards: bool) -> None:
    """The end of a car that faces the camera."""
    top, waist, slope, roof, half = form
    bonnet = [
        (x - half, waist - 0.12, z),
        (x + half, waist - 0.12, z),
        (x + 0.84, waist, near),
        (x - 0.84, waist, near),
    ]
    canvas.polygon(bonnet, CAR, color, 1.14)
    screen = [
        (x - 0.84, waist, near),
        (x + 0.84, waist, near),
        (x + roof, top, near + slope),
        (x - roof, top, near + slope),
    ]
    canvas.polygon(screen, CAR, color, 0.96)
    y0, y1, z1 = waist + 0.05, top - 0.1, near + slope * 0.85
    canvas.polygon(
        [(x - 0.76, y0, near), (x + 0.76, y0, near), (x + roof - 0.05, y1, z1), (x - roof + 0.05, y1, z1)], None, GLASS
    )
    glare = [(x - 0.5, y0, near), (x - 0.1, y0, near), (x + 0.12, y1, z1), (x - 0.22, y1, z1)]
    canvas.polygon(glare, None, GLASS, 1.5)
    body = [(x - half, 0.24, z), (x + half, 0.24, z), (x + half, 0.7, z), (x + 0.82, waist - 0.1, z)]
    canvas.polygon([*body, (x - 0.82, waist - 0.1, z), (x - half, 0.7, z)], CAR, color, 0.95)
    canvas.rectangle(x - half, x + half, 0.22, 0.4, z, CAR, color, 0.62)
    if towards:
        canvas.rectangle(x - 0.42, x + 0.42, 0.5, 0.68, z, None, DARK)
    for sign in (-1, 1):
        a, b = sorted((x + sign * 0.86, x + sign * 0.55))
        canvas.rectangle(a, b, 0.58, 0.74, z, None, LAMP if towards else TAIL)
        a, b = sorted((x + sign * 0.86, x + sign * 0.98))
        canvas.rectangle(a, b, waist, waist + 0.11, near + 0.3 * slope, CAR, color, 0.8)
    canvas.rectangle(x - 0.26, x + 0.26, 0.4, 0.51, z, None, WHITE)


def big_vehicle(canvas: Canvas, rng, x, z, kind: int, color: Color, towards: bool) -> None:
    """Bus, truck or tram: a tall box with what tells them apart."""
    width, height, length = {BUS: (2.5, 3.1, 11.0), TRUCK: (2.5, 3.6, 8.5), TRAIN: (2.6, 3.5, 26.0)}[kind]
    x0, x1 = x - width / 2, x + width / 2
    cargo = tuple(rng.uniform(0.75, 1.0) * c for c in ((222, 220, 212) if rng.random() < 0.6 else (70, 96, 150)))
    for edge in (x0 + 0.1, x1 - 0.5):
        canvas.rectangle(edge, edge + 0.4, 0.0, 0.6, z + 0.4, kind, TYRE)
    if kind == TRUCK:
        _truck(canvas, (x0, x1), height, (z, z + length), color, cargo, towards)
        return
    inner = canvas.box(x0, x1, 0.3, height, z, z + length, kind, color)
    shade = canvas.facing(inner, x0, x1)
    if not x0 < 0 < x1:
        low, top = 0.42 * height, 0.82 * height
        panes = [
            [(inner, low, a), (inner, low, a + 1.3), (inner, top, a + 1.3), (inner, top, a)]
            for a in np.arange(z + 0.5, z + length - 1.3, 1.5)
        ]
        for part in np.array_split(np.array(panes), 3):
            canvas.quads(part, GLASS, shade)
        canvas.side(inner, 0.3, 0.3 + 0.09 * height, z, z + length, None, DARK)
        canvas.side(inner, 0.86 * height, 0.9 * height, z, z + length, None, WHITE, shade * 0.9)
        for along in (2.2, length - 2.4):
            wheel(canvas, inner, 0.48, z + along, kind)
    edge = 0.16 if kind == BUS else 0.34
    top, bottom = (0.83, 0.36) if towards else (0.8, 0.52)
    screen = [(x0 + 0.14, bottom * height, z), (x1 - 0.14, bottom * height, z)]
    canvas.polygon([*screen, (x1 - edge, top * height, z), (x0 + edge, top * height, z)], None, GLASS)
    canvas.polygon(
        [screen[0], (x - 0.5, bottom * height, z), (x - 0.1, top * height, z), (x0 + edge, top * height, z)],
        None,
        GLASS,
        1.35,
    )
    canvas.rectangle(x - 0.75, x + 0.75, 0.86 * height, 0.95 * height, z, None, (236, 160, 40) if towards else DARK)
    canvas.rectangle(x0, x1, 0.28, 0.5, z, kind, color, 0.55)
    if kind == TRAIN:
        canvas.rectangle(x0, x1, 0.26 * height, 0.34 * height, z, None, WHITE)
        canvas.stroke(
            [(x - 0.5, height, z + 6), (x + 0.1, height + 0.7, z + 6), (x + 0.5, height + 1.1, z + 6)], 0.07, kind, DARK
        )
    _lamps(canvas, x0, x1, 0.72, z, towards)


def _truck(canvas: Canvas, span, height: float, depth, color: Color, cargo: Color, towards: bool) -> None:
    """A cab before a higher box; from behind only the box with its doors is seen."""
    (x0, x1), (z0, z1) = span, depth
    cab = z0 + 2.1 if towards else z1 - 2.1
    if not towards:
        canvas.box(x0 + 0.05, x1 - 0.05, 0.45, 0.8 * height, cab, z1, TRUCK, color)
    box = (cab + 0.2, z1) if towards else (z0, cab - 0.2)
    inner = canvas.box(x0, x1, 0.85, height, *box, TRUCK, cargo)
    canvas.side(inner, 0.5, 0.85, box[0], box[1], TRUCK, DARK)
    for along in (1.2, 5.4, 6.6):
        wheel(canvas, inner, 0.48, z0 + along, TRUCK)
    if towards:
        inner = canvas.box(x0 + 0.05, x1 - 0.05, 0.4, 0.8 * height, z0, cab, TRUCK, color)
        canvas.side(inner, 1.7, 2.6, z0 + 0.3, z0 + 1.3, None, GLASS, 0.9)
        canvas.rectangle(x0 + 0.2, x1 - 0.2, 1.65, 2.55, z0, None, GLASS)
        canvas.rectangle(x0 + 0.45, x1 - 0.45, 0.85, 1.4, z0, None, DARK)
        canvas.rectangle(x0 + 0.05, x1 - 0.05, 0.38, 0.62, z0, TRUCK, color, 0.6)
    else:
        middle = (x0 + x1) / 2
        for at in (x0, middle - 0.03, x1 - 0.07):
            canvas.rectangle(at, at + 0.07, 0.9, height, z0, None, cargo, 0.6)
        for at in (middle - 0.45, middle + 0.4):
            canvas.rectangle(at, at + 0.05, 1.0, height - 0.1, z0, None, cargo, 0.7)
        canvas.rectangle(x0, x1, 0.5, 0.85, z0, TRUCK, DARK, 1.3)
    _lamps(canvas, x0, x1, 0.66, z0, towards)


def _lamps(canvas: Canvas, x0, x1, y, z, towards: bool) -> None:
    for edge in (x0 + 0.15, x1 - 0.5):
        canvas.rectangle(edge, edge + 0.35, y, y + 0.2, z, None, LAMP if towards else TAIL)
    canvas.rectangle((x0 + x1) / 2 - 0.26, (x0 + x1) / 2 + 0.26, 0.4, 0.52, z, None, WHITE)


def wheel(canvas: Canvas, x: float, radius: float, z: float, label: int) -> None:
    """A wheel with its hub in the plane along the street."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for share, color in ((1.0, TYRE), (0.55, (150, 152, 155))):
        ring = [
            (x, radius + share * radius * s, z + share * radius * c)
            for s, c in zip(np.sin(angle), np.cos(angle), strict=True)
        ]
        canvas.polygon(ring, label if share == 1.0 else None, color)
