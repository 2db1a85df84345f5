"""What stands along a street: buildings, trees, walls, fences, poles, lights and signs.

Every function paints one thing on a ``Canvas``; sizes are metres. A thing draws as many random numbers at every image
size (details too small to see are skipped after that), so that a scene is the same at every size.
"""

import numpy as np

from src.street_world.canvas import BUILDING, FENCE, LIGHT, POLE, SIGN, STATIC, VEGETATION, WALL, Canvas, Color

WHITE, DARK, LIT = (238, 238, 234), (30, 32, 34), (252, 226, 150)


def building(canvas: Canvas, rng, x0, x1, z0, z1, height: float, color: Color) -> None:
    """A block with plinth, rows of framed windows, doors or shops below, cornice and perhaps a pitched roof."""
    glass = (50 + 40 * rng.random(), 68 + 40 * rng.random(), 88 + 45 * rng.random())
    if canvas.dusk and glass[0] > 65:
        glass = LIT
    floor, pitch, share = rng.uniform(2.9, 3.5), rng.uniform(2.1, 3.4), rng.uniform(0.45, 0.62)
    has_shop, has_roof, roof = rng.random() < 0.35, rng.random() < 0.45, rng.uniform(0.75, 1.1)
    sign = tuple(rng.uniform(60, 210, 3))
    inner, outer = (x0, x1) if x0 > 0 else (x1, x0)
    facing = canvas.facing(inner, x0, x1)
    if has_roof:
        middle, ridge = inner + 0.4 * (outer - inner), height + 2.6
        tiles = (132 * roof, 76 * roof, 60 * roof)
        slope = [(inner, height, z0), (inner, height, z1), (middle, ridge, z1), (middle, ridge, z0)]
        canvas.polygon(slope, BUILDING, tiles, facing)
        canvas.polygon([(x0, height, z0), (x1, height, z0), (middle, ridge, z0)], BUILDING, color, 0.88)
    canvas.box(x0, x1, 0, height, z0, z1, BUILDING, color)
    canvas.side(inner, 0, 0.6, z0, z1, None, color, facing * 0.72)
    spec = {"height": height, "floor": floor, "share": share, "glass": glass, "color": color, "shop": has_shop}
    if canvas.zoom(max(z0, 2.5)) * 1.5 > 1.2:
        columns = np.arange(z1 - pitch, max(z0, 2.5), -pitch)
        columns = columns[columns > abs(inner) / 1.2]  # what is beside the picture is not drawn
        _facade(canvas, lambda a, y: (inner, y, a), columns, columns, pitch, shade=facing, **spec)
        if z0 > 6:
            columns = np.arange(x0 + 0.5, x1 - pitch, pitch)
            _facade(canvas, lambda a, y: (a, y, z0), columns, np.full_like(columns, z0), pitch, shade=0.88, **spec)
    if has_shop:
        canvas.side(inner, 2.55, 3.0, max(z0, 2), z1, None, sign, facing)
    canvas.side(inner - 0.15 * np.sign(inner), height - 0.35, height + 0.05, z0, z1, BUILDING, color, facing * 0.8)
    canvas.rectangle(x0, x1, height - 0.35, height + 0.05, z0, None, color, 0.68)


def _facade(canvas: Canvas, place, columns, depths, pitch, **spec) -> None:
    """Columns of windows from far to near; where they are small, many are painted at once."""
    zooms = np.array([canvas.zoom(z) for z in depths])
    small = columns[zooms <= 14]
    for part in np.array_split(small, 1 + len(small) // 6):
        _windows(canvas, place, part, pitch, 0.0, **spec)
    for at, zoom in zip(columns[zooms > 14], zooms[zooms > 14], strict=True):
        _windows(canvas, place, [at], pitch, zoom, **spec)


def _windows(canvas: Canvas, place, columns, pitch, zoom, *, height, floor, share, glass, color, shop, shade) -> None:
    """Windows above each other, with what ``zoom`` shows of them; ``place(along, up)`` is a point of the facade."""
    bottoms = np.arange(0.9 + (floor if shop else 0.0), height - 1.8, floor)
    left, right = pitch * (0.5 - share / 2), pitch * (0.5 + share / 2)

    def paint(a0, a1, low, high, paint_color, bright, floors=bottoms):
        corners = ((a0, low), (a1, low), (a1, high), (a0, high))
        panes = [[place(at + a, y + b) for a, b in corners] for at in columns for y in floors]
        canvas.quads(np.array(panes), paint_color, shade * bright)

    if zoom:
        paint(left - 0.12, right + 0.12, -0.14, 1.72, color, 1.22)
    paint(left, right, 0.0, 1.6, glass, 1.0)
    if zoom > 22:
        paint(left, right, 1.0, 1.6, glass, 1.35)
    if zoom > 30:
        middle = (left + right) / 2
        paint(middle - 0.04, middle + 0.04, 0.0, 1.6, WHITE, 0.85)
        paint(left - 0.18, right + 0.18, -0.26, -0.14, color, 0.7)
    if shop:
        paint(0.15, pitch - 0.15, 0.45, 2.45, (196, 178, 132), 1.0, (0.0,))
        paint(0.15, pitch - 0.15, 0.45, 1.2, (110, 96, 80), 1.0, (0.0,))


def block(canvas: Canvas, x, width, height, z, color: Color) -> None:
    """A far building, flat, with hints of its floors."""
    canvas.rectangle(x, x + width, 0, height, z, BUILDING, color, 0.95)
    for y in np.arange(2, height - 1, 3.2):
        canvas.rectangle(x + 0.8, x + width - 0.8, y, y + 1.3, z, None, color, 0.8)


def tree(canvas: Canvas, rng, x, z, height: float, leaf: Color) -> None:
    """Trunk, branches and three layers of leaf clusters, brighter above and towards the light."""
    count = 30
    offsets = rng.normal(0, 1, (count, 2))
    length = np.linalg.norm(offsets, axis=1, keepdims=True)
    offsets *= np.minimum(1, 1.35 / length)  # a crown ends somewhere
    jagged = rng.uniform(0.8, 1.16, (count, 21))
    sizes, tints = rng.uniform(0.75, 1.25, count), rng.uniform(-0.09, 0.09, count)
    lean, thick = rng.uniform(-0.3, 0.3), 0.05 + 0.016 * height
    bark = (86, 68, 52)
    crown, spread = 0.66 * height, np.array([0.2, 0.155]) * height
    trunk = [
        (x - thick, 0, z),
        (x + thick, 0, z),
        (x + lean + thick * 0.5, crown, z),
        (x + lean - thick * 0.5, crown, z),
    ]
    canvas.polygon(trunk, VEGETATION, bark)
    zoom = canvas.zoom(z) * height
    kept = count if zoom > 400 else 16 if zoom > 100 else 7 if zoom > 40 else 4
    for dx, dy in offsets[:5] if zoom > 120 else ():
        end = (x + lean + dx * spread[0], crown + dy * spread[1], z)
        canvas.stroke([(x + lean * 0.7, crown * 0.72, z), end], thick * 0.5, VEGETATION, bark)
    order = np.argsort(offsets[:kept, 1] - offsets[:kept, 0] * 0.3 * canvas.light)
    offsets, sizes, tints, jagged = (
        offsets[:kept][order],
        sizes[:kept][order],
        tints[:kept][order],
        jagged[:kept][order],
    )
    centers = np.array([x + lean, crown]) + offsets * spread
    radii = (height * 0.1 * (count / kept) ** 0.3 * sizes)[:, None] * jagged
    bright = 0.86 + 0.17 * offsets[:, 1] + 0.1 * offsets[:, 0] * canvas.light + tints
    if zoom <= 100:
        radii = radii[:, ::3]
    canvas.blobs(centers, radii, z, VEGETATION, leaf, bright * 0.76)
    if zoom <= 40:
        return
    lit = np.array([0.01 * canvas.light, 0.028]) * height
    canvas.blobs(centers + lit, radii * 0.95, z, VEGETATION if zoom > 100 else None, leaf, bright)
    if zoom > 100:
        canvas.blobs(centers + 2 * lit, radii[:, ::-1] * 0.55, z, None, leaf, bright * 1.2)


def hedge(canvas: Canvas, rng, x, z0, z1, height: float, leaf: Color) -> None:
    """A row of bushes along the street."""
    canvas.side(x, 0, height * 0.85, z0, z1, VEGETATION, leaf, 0.7)
    lit = np.array([0.06 * canvas.light, 0.1])
    for z in np.arange(z1, max(z0, 3.0), -0.8):
        center = np.array([[x + rng.uniform(-0.2, 0.2), height * rng.uniform(0.55, 0.85)]])
        outline = height * rng.uniform(0.2, 0.34) * rng.uniform(0.8, 1.15, (1, 11))
        tint = rng.uniform(0.75, 1.1)
        canvas.blobs(center, outline, z, VEGETATION, leaf, [tint])
        if canvas.zoom(z) * height > 25:
            canvas.blobs(center + lit, outline * 0.5, z, None, leaf, [tint * 1.2])


def wall(canvas: Canvas, x, z0, z1, height: float, color: Color) -> None:
    """A masonry wall along the street, with courses, joints and a coping."""
    canvas.side(x, 0, height, z0, z1, WALL, color, 0.9)
    for row, y in enumerate(np.arange(0.0, height, 0.35)):
        canvas.side(x, y, y + 0.05, z0, z1, None, color, 0.7)
        if canvas.zoom(z0) > 60:
            along = np.arange(z0 + 0.4 * (row % 2), min(z1, z0 + 14), 0.8)
            top = min(y + 0.35, height)
            joints = [[(x, y, z), (x, y, z + 0.05), (x, top, z + 0.05), (x, top, z)] for z in along]
            canvas.quads(np.array(joints), color, 0.74)
    canvas.side(x, height - 0.12, height + 0.04, z0, z1, WALL, color, 1.15)


def fence(canvas: Canvas, x, z0, z1, height: float, color: Color) -> None:
    """Bars before a shrubbery; all of it is labelled fence, as in Cityscapes."""
    canvas.side(x, 0, height, z0, z1, FENCE, (74, 88, 68), 0.85)
    along = np.arange(z0, z1, 0.34)
    for part in np.array_split(along, 4):
        bars = [[(x, 0, z), (x, 0, z + 0.09), (x, height, z + 0.09), (x, height, z)] for z in part]
        if bars:
            canvas.quads(np.array(bars), color)
    for y in (0.1, height - 0.15):
        canvas.side(x, y, y + 0.08, z0, z1, None, color, 1.1)


def lamp_post(canvas: Canvas, rng, x, z, reach: float) -> None:
    """A tall post with an arm over the road."""
    color, tip = (112, 114, 117), x + reach
    canvas.rectangle(x - 0.09, x + 0.09, 0, 6.6, z, POLE, color)
    canvas.rectangle(
        x - 0.09 if canvas.light < 0 else x + 0.03,
        x + (-0.03 if canvas.light < 0 else 0.09),
        0,
        6.6,
        z,
        None,
        color,
        1.3,
    )
    canvas.rectangle(x - 0.15, x + 0.15, 0, 0.9, z, POLE, color, 0.8)
    arm = [(x, 6.35, z), (x, 6.6, z), (tip, 6.95, z), (tip, 6.84, z)]
    canvas.polygon(arm, POLE, color)
    canvas.rectangle(min(tip, tip + reach * 0.3), max(tip, tip + reach * 0.3), 6.82, 7.0, z, POLE, (70, 72, 74))


def bollard(canvas: Canvas, rng, x, z) -> None:
    """A short post on the kerb."""
    canvas.rectangle(x - 0.06, x + 0.06, 0, 0.95, z, POLE, (78, 80, 84))
    canvas.rectangle(x - 0.06, x + 0.06, 0.75, 0.85, z, None, WHITE)


def bin_box(canvas: Canvas, rng, x0, x1, z) -> None:
    """A litter bin or a switch cabinet."""
    color = tuple(rng.uniform(0.7, 1.2) * np.array([72, 92, 80]))
    canvas.box(x0, x1, 0, 1.05, z, z + 0.5, STATIC, color)
    canvas.rectangle(x0 - 0.03, x1 + 0.03, 0.97, 1.08, z, STATIC, color, 0.7)


def traffic_light(canvas: Canvas, rng, x, z) -> None:
    """Post, housing and three lamps, one of them lit."""
    canvas.rectangle(x - 0.07, x + 0.07, 0, 3.0, z, POLE, (95, 97, 100))
    canvas.rectangle(x - 0.24, x + 0.24, 2.42, 3.62, z, LIGHT, (24, 26, 26))
    lit = rng.integers(3)
    for i, color in enumerate([(225, 40, 30), (238, 170, 30), (40, 210, 95)]):
        canvas.disc((x, 3.4 - 0.37 * i, z), 0.14, None, color, 1.0 if i == lit else 0.26)


def traffic_sign(canvas: Canvas, rng, x, z) -> None:
    """Post and one of five plates."""
    canvas.rectangle(x - 0.04, x + 0.04, 0, 2.4, z, POLE, (132, 134, 137))
    kind = rng.integers(5)
    red, blue = (202, 30, 35), (28, 78, 172)
    if kind == 0:
        canvas.disc((x, 2.5, z), 0.42, SIGN, red)
        canvas.disc((x, 2.5, z), 0.31, None, WHITE)
        canvas.rectangle(x - 0.1, x + 0.1, 2.35, 2.65, z, None, DARK)
    elif kind == 1:
        canvas.rectangle(x - 0.4, x + 0.4, 2.1, 2.9, z, SIGN, blue)
        canvas.rectangle(x - 0.12, x + 0.12, 2.22, 2.78, z, None, WHITE)
    elif kind == 2:
        canvas.polygon([(x - 0.48, 2.1, z), (x + 0.48, 2.1, z), (x, 2.95, z)], SIGN, red)
        canvas.polygon([(x - 0.27, 2.22, z), (x + 0.27, 2.22, z), (x, 2.7, z)], None, (240, 238, 225))
    elif kind == 3:
        canvas.polygon([(x - 0.45, 2.5, z), (x, 2.05, z), (x + 0.45, 2.5, z), (x, 2.95, z)], SIGN, WHITE)
        canvas.polygon([(x - 0.3, 2.5, z), (x, 2.2, z), (x + 0.3, 2.5, z), (x, 2.8, z)], None, (240, 190, 40))
    else:
        canvas.disc((x, 2.5, z), 0.42, SIGN, blue)
        canvas.polygon([(x - 0.2, 2.4, z), (x, 2.75, z), (x + 0.2, 2.4, z)], None, WHITE)
