"""People on foot, and motorcycles and bicycles with their riders."""

import numpy as np

from src.street_world.canvas import BICYCLE, MOTORCYCLE, PERSON, RIDER, Canvas, Color
from src.street_world.street import DARK
from src.street_world.vehicles import TAIL, TYRE


def person(
    canvas: Canvas, rng, x, z, label: int = PERSON, size: float = 1.0, seat: float = 0.0, facing: int = 0
) -> None:
    """Legs, shoes, torso, arms, head and perhaps a bag.

    With ``seat`` the hips are at that height (metres) and the feet are off the ground, as a rider's;
    ``facing`` is -1 or 1 for one who rides across the picture.
    """
    top, trousers = _cloth(rng.uniform(35, 215, 3)), _cloth(rng.uniform(25, 105, 3))
    stride, swing, has_bag, light = (
        rng.uniform(0.02, 0.16),
        rng.uniform(0, 0.12),
        rng.random() < 0.3,
        rng.uniform(0.6, 1.05),
    )
    skin = (205 * light, 160 * light, 130 * light)
    height = 1.75 * size
    base = seat - 0.49 * height if seat else 0.0
    tilt = 0.16 * facing  # a rider leans forward

    def part(outline, color, shade=1.0):
        points = [(x + size * (a + tilt * max(b - 0.48, 0) / 0.4), base + b * height, z) for a, b in outline]
        canvas.polygon(points, label, color, shade)

    for sign in (-1, 1):
        _leg(part, sign, facing, bool(seat), stride, trousers)
        hand = (0.42 * facing, 0.62) if facing else (sign * (0.25 + swing), 0.48)
        if seat and not facing:
            hand = (sign * 0.3, 0.6)
        wide = sign * 0.2 if not facing else 0.02
        part(
            [(wide - 0.03, 0.82), (wide + 0.04, 0.78), (hand[0] + 0.04, hand[1]), (hand[0] - 0.04, hand[1])], top, 0.78
        )
        part([(hand[0] - 0.04, hand[1]), (hand[0] + 0.04, hand[1]), (hand[0] + 0.03, hand[1] - 0.04)], skin)
    broad = 0.75 if facing else 1.0
    torso = [(-0.17, 0.47), (0.17, 0.47), (0.2, 0.78), (0.14, 0.84), (-0.14, 0.84), (-0.2, 0.78)]
    part([(a * broad, b) for a, b in torso], top)
    dark = 0.06 if canvas.light < 0 else -0.17
    part(
        [(dark * broad, 0.47), ((dark + 0.11) * broad, 0.47), ((dark + 0.12) * broad, 0.82), (dark * broad, 0.82)],
        top,
        0.82,
    )
    if has_bag and not seat:
        part([(0.1, 0.5), (0.3, 0.5), (0.3, 0.66), (0.1, 0.66)], trousers, 1.3)
    canvas.disc((x + tilt * 1.1 * size, base + 0.92 * height, z), 0.115 * size, label, skin)
    hair = [(-0.115, 0.92), (-0.1, 0.975), (0, 1.0), (0.1, 0.975), (0.115, 0.92), (0.06, 0.955), (-0.06, 0.955)]
    part(hair, (58, 44, 34) if not seat else _cloth(np.array(top)[::-1]))


def _cloth(color: np.ndarray) -> Color:
    """Fewer pure colours than chance would give."""
    return tuple((color.mean() + 0.5 * (color - color.mean())).tolist())


def _leg(part, sign: int, facing: int, seated: bool, stride: float, color: Color) -> None:
    shade = 0.9 + 0.1 * sign
    if seated and facing:  # thigh forward, shin down to the pedal
        knee, foot = (0.27 + 0.05 * sign) * facing, 0.14 * sign * facing
        part([(-0.1, 0.52), (-0.02, 0.44), (knee, 0.34), (knee + 0.06 * facing, 0.4)], color, shade)
        part(
            [
                (knee - 0.06, 0.4),
                (knee + 0.06, 0.38),
                (foot + 0.05, 0.17 + 0.05 * sign),
                (foot - 0.05, 0.17 + 0.05 * sign),
            ],
            color,
            shade,
        )
        part(
            [(foot - 0.06, 0.18 + 0.05 * sign), (foot + 0.12, 0.16 + 0.05 * sign), (foot - 0.06, 0.13 + 0.05 * sign)],
            DARK,
        )
        return
    hip, heel, low = sign * 0.08, sign * ((0.16 if seated else 0.07) + stride * (not seated)), 0.16 if seated else 0.0
    part([(hip - 0.09, 0.5), (hip + 0.09, 0.5), (heel + 0.06, low + 0.03), (heel - 0.06, low + 0.03)], color, shade)
    part([(heel - 0.07, low + 0.045), (heel + 0.07, low + 0.045), (heel + 0.1, low), (heel - 0.07, low)], DARK)


def two_wheeler(canvas: Canvas, rng, x, z, kind: int, ridden: bool, across: bool) -> None:
    """Bicycle or motorcycle, seen from its side (``across``) or from behind, with or without its rider."""
    color, flip = tuple(rng.uniform(40, 205, 3)), rng.choice((-1, 1))
    if across:
        (_bicycle_side if kind == BICYCLE else _motorcycle_side)(canvas, x, z, color, flip)
        if ridden:
            person(canvas, rng, x - 0.18 * flip, z, RIDER, size=0.95, seat=0.95, facing=int(flip))
        return
    thick = 0.05 if kind == BICYCLE else 0.11
    canvas.rectangle(x - thick, x + thick, 0.0, 0.68, z, kind, TYRE)
    if kind == MOTORCYCLE:
        shell = [(x - 0.18, 0.35, z), (x + 0.18, 0.35, z), (x + 0.24, 0.85, z), (x - 0.24, 0.85, z)]
        canvas.polygon(shell, kind, color)
        canvas.rectangle(x - 0.1, x + 0.1, 0.72, 0.8, z, None, TAIL)
    else:
        canvas.rectangle(x - 0.05, x + 0.05, 0.6, 0.95, z, kind, color)
        canvas.rectangle(x - 0.13, x + 0.13, 0.88, 0.95, z, kind, DARK)
    canvas.rectangle(x - 0.32, x + 0.32, 0.98, 1.05, z, kind, DARK)
    if ridden:
        person(canvas, rng, x, z, RIDER, size=0.95, seat=0.95)


def _bicycle_side(canvas: Canvas, x, z, color: Color, flip: int) -> None:
    """Two spoked wheels (labelled as full discs, as in Cityscapes), a diamond frame, saddle and bar."""
    radius = 0.34
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for dx in (-0.52, 0.52):
        canvas.disc((x + dx, radius, z), radius, BICYCLE, None)
        ring = [
            (x + dx + radius * c, radius + radius * s, z) for s, c in zip(np.sin(angle), np.cos(angle), strict=True)
        ]
        canvas.stroke(ring, 0.05, None, TYRE, closed=True)
        for i in range(0, 10, 2):
            canvas.stroke([ring[i], ring[i + 10]], 0.012, None, (150, 150, 150))
    rear, front = (x - 0.52 * flip, radius, z), (x + 0.52 * flip, radius, z)
    crank, seat, head = (x - 0.08 * flip, 0.3, z), (x - 0.2 * flip, 0.86, z), (x + 0.38 * flip, 0.82, z)
    for line in ([rear, crank], [rear, seat], [crank, seat], [seat, head], [crank, head], [head, front]):
        canvas.stroke(line, 0.06, BICYCLE, color)
    canvas.rectangle(seat[0] - 0.13, seat[0] + 0.13, 0.9, 0.97, z, BICYCLE, DARK)
    canvas.stroke([head, (head[0] - 0.04 * flip, 1.02, z), (head[0] + 0.12 * flip, 1.04, z)], 0.05, BICYCLE, DARK)


def _motorcycle_side(canvas: Canvas, x, z, color: Color, flip: int) -> None:
    """Thick wheels, engine, tank, seat, fork and lamp."""
    radius = 0.32

    def part(outline, paint, shade=1.0):
        canvas.polygon([(x + a * flip, b, z) for a, b in outline], MOTORCYCLE, paint, shade)

    for dx in (-0.62, 0.62):
        canvas.disc((x + dx, radius, z), radius, MOTORCYCLE, TYRE)
        canvas.disc((x + dx, radius, z), radius * 0.6, None, (140, 142, 145))
    part([(-0.3, 0.22), (0.3, 0.22), (0.36, 0.62), (-0.34, 0.62)], (72, 74, 78))
    part([(-0.9, 0.72), (-0.25, 0.58), (0.1, 0.62), (0.08, 0.84), (-0.85, 0.86)], DARK)
    part([(-0.05, 0.62), (0.42, 0.6), (0.48, 0.92), (0.1, 0.98)], color)
    part([(0.38, 0.9), (0.48, 0.92), (0.68, 0.34), (0.58, 0.32)], (130, 132, 136))
    part([(0.42, 0.82), (0.6, 0.84), (0.58, 1.02), (0.42, 1.04)], color, 1.15)
    part([(0.2, 1.04), (0.46, 1.08), (0.46, 1.14), (0.2, 1.1)], DARK)
