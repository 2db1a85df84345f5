"""Things of a street, drawn in perspective into an image and its label at once.

World coordinates are metres: x to the right of the camera, y above the ground, z ahead. Whatever is drawn later
covers what was drawn before, so callers go from far to near.
"""

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np

# Cityscapes label ids (not trainIds).
EGO, STATIC, DYNAMIC, PARKING = 1, 4, 5, 9
ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE = 7, 8, 11, 12, 13, 17
LIGHT, SIGN, VEGETATION, TERRAIN, SKY = 19, 20, 21, 22, 23
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 31, 32, 33

Color = tuple[float, float, float]  # RGB, 0..255
SUBPIXEL_BITS = 4
UNIT_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 16, endpoint=False)) for f in (np.cos, np.sin)], 1)
NEAR = 1.5  # metres; nothing closer is drawn


@dataclass(frozen=True)
class Camera:
    """Pinhole camera: height above the road in metres, horizon and vanishing point as shares of the image."""

    height: float
    horizon: float
    vanishing: float


class Canvas:
    """Image (drawn larger and averaged, so edges are smooth) and label ids of one scene."""

    def __init__(self, size: tuple[int, int], camera: Camera, haze: Color, visibility: float, light_from_left: bool):
        self.size, self._camera = size, camera
        self._scale = 2 if size[1] <= 640 else 1
        self._haze, self._visibility = haze, visibility
        self._light_from_left = light_from_left
        self.label = np.full(size, SKY, np.uint8)
        self.image = np.zeros((size[0] * self._scale, size[1] * self._scale, 3), np.uint8)

    def finished(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return cv2.resize(self.image, self.size[::-1], interpolation=cv2.INTER_AREA)

    def project(self, points) -> np.ndarray:
        """(n, 3) metres -> (n, 2) pixels."""
        points = np.asarray(points, float)
        height, width = self.size
        scale = width / np.maximum(points[:, 2], NEAR)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self._camera.vanishing * width + points[:, 0] * scale
        pixels[:, 1] = self._camera.horizon * height + (self._camera.height - points[:, 1]) * scale
        return pixels

    def pixels_per_metre(self, z: float) -> float:
        """How large a metre at distance ``z`` is drawn."""
        return self.size[1] / max(z, NEAR)

    def polygon(self, points, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Filled polygon of points in metres; label None paints the image only, color None the label only."""
        self.pixels(self.project(points), label, color, shade, sum(p[2] for p in points) / len(points))

    def pixels(self, pixels, label: int | None, color: Color | None, shade: float = 1.0, z: float = 0.0) -> None:
        """The same in pixels, hazy as at distance ``z``."""
        left, top = pixels.min(0)
        right, bottom = pixels.max(0)
        if right < 0 or left > self.size[1] or bottom < 0 or top > self.size[0]:
            return
        pixels = np.clip(pixels, -30000, 30000)
        factor = 2**SUBPIXEL_BITS
        if label is not None:
            corners = ((pixels - 0.5) * factor).round().astype(np.int32)
            cv2.fillPoly(self.label, [corners], int(label), cv2.LINE_8, SUBPIXEL_BITS)
        if color is not None:
            corners = ((pixels * self._scale - 0.5) * factor).round().astype(np.int32)
            cv2.fillPoly(self.image, [corners], self._seen(color, shade, z), cv2.LINE_AA, SUBPIXEL_BITS)

    def disc(self, center, radius: float, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright disc facing the camera."""
        x, y, z = center
        if radius * self.pixels_per_metre(z) > 0.4:
            middle = self.project([(x, y, z)])
            self.pixels(middle + UNIT_CIRCLE * (radius * self.pixels_per_metre(z)), label, color, shade, z)

    def rectangle(self, x0, x1, y0, y1, z, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright rectangle facing the camera."""
        self.polygon([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], label, color, shade)

    def ground(self, x0, x1, z0, z1, label: int | None, color: Color, shade: float = 1.0) -> None:
        """Flat rectangle on the ground, in slices so that haze grows with distance."""
        edges = np.geomspace(max(z0, NEAR), max(z1, NEAR + 0.1), 7)
        for near, far in itertools.pairwise(edges):
            self.polygon([(x0, 0, near), (x1, 0, near), (x1, 0, far), (x0, 0, far)], label, color, shade)

    def side(self, x, y0, y1, z0, z1, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright rectangle along the street, at ``x``."""
        self.polygon([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)], label, color, shade)

    def box(self, x0, x1, y0, y1, z0, z1, label: int, color: Color) -> float:
        """The visible side and the front of a box; returns the x of the visible side."""
        inner = x0 if x0 > 0 else x1
        lit = (inner == x1) == self._light_from_left
        if not x0 < 0 < x1:
            self.side(inner, y0, y1, z0, z1, label, color, 1.0 if not lit else 0.72)
        if z0 > NEAR:
            self.rectangle(x0, x1, y0, y1, z0, label, color, 0.86)
        return inner

    def shadow(self, x0, x1, z0, z1) -> None:
        """Darkens the ground below a thing."""
        self.ground(x0 - 0.15, x1 + 0.15, max(z0 - 0.25, NEAR), z1, None, (38, 38, 42))

    def _seen(self, color: Color, shade: float, z: float) -> tuple[float, ...]:
        clear = math.exp(-z / self._visibility)
        mixed = [c * shade * clear + h * (1 - clear) for c, h in zip(color, self._haze, strict=True)]
        return tuple(min(max(c, 0.0), 255.0) for c in mixed)


def building(canvas: Canvas, rng, x0, x1, z0, z1, height: float, color: Color) -> None:
    """A block with rows of windows on the side along the street and on its front."""
    inner = canvas.box(x0, x1, 0, height, z0, z1, BUILDING, color)
    glass = (60 + 40 * rng.random(), 80 + 40 * rng.random(), 100 + 50 * rng.random())
    floor, pitch = rng.uniform(2.8, 3.4), rng.uniform(2.2, 3.4)
    lit = rng.random() < 0.3
    is_far = canvas.pixels_per_metre(z0) < 1.5  # a window would be a pixel
    for y in np.arange(1.2, 0 if is_far else height - 1.6, floor):
        for z in np.arange(z1 - pitch, max(z0, 3.0), -pitch):
            shop = y < 2 and lit
            bottom, size = (0.4, 2.2) if shop else (y, 1.5)
            pane = (190, 170, 120) if shop else glass
            canvas.side(inner, bottom, bottom + size, z + 0.35, z + pitch - 0.55, None, pane, 0.9)
        if z0 > 8:
            for x in np.arange(x0 + 0.8, x1 - 1.6, pitch):
                canvas.rectangle(x, x + pitch * 0.55, y, y + 1.5, z0, None, glass, 0.8)
    canvas.side(inner, height - 0.4, height, z0, z1, None, color, 0.55)


def tree(canvas: Canvas, rng, x, z, height: float, leaf: Color) -> None:
    """Trunk and a cloud of leaf clusters, darker below."""
    canvas.rectangle(x - 0.14, x + 0.14, 0, height * 0.6, z, VEGETATION, (92, 70, 52))
    clusters = int(np.clip(height * canvas.pixels_per_metre(z) / 2.5, 7, 34))
    for _ in range(clusters):
        dx, dy = rng.normal(0, height * 0.17), rng.normal(0, height * 0.14)
        radius = height * rng.uniform(0.07, 0.14) * (34 / clusters) ** 0.3
        shade = 0.75 + 0.5 * (dy / height + 0.15) + rng.uniform(-0.12, 0.12)
        canvas.disc((x + dx, height * 0.7 + dy, z), radius, VEGETATION, leaf, shade)


def hedge(canvas: Canvas, rng, x, z0, z1, height: float, leaf: Color) -> None:
    """A row of bushes along the street."""
    canvas.side(x, 0, height * 0.8, z0, z1, VEGETATION, leaf, 0.75)
    for z in np.arange(z1, max(z0, 4.0), -0.9):
        radius = height * rng.uniform(0.22, 0.34)
        center = (x + rng.uniform(-0.2, 0.2), height * rng.uniform(0.45, 0.85), z)
        canvas.disc(center, radius, VEGETATION, leaf, rng.uniform(0.7, 1.15))


def wall(canvas: Canvas, x, z0, z1, height: float, color: Color) -> None:
    """A masonry wall along the street, with courses."""
    canvas.side(x, 0, height, z0, z1, WALL, color, 0.9)
    for y in np.arange(0.35, height, 0.35):
        canvas.side(x, y, y + 0.05, z0, z1, None, color, 0.7)
    canvas.side(x, height - 0.12, height, z0, z1, None, color, 1.15)


def fence(canvas: Canvas, x, z0, z1, height: float, color: Color) -> None:
    """Bars before something dark; all of it is labelled fence, as in Cityscapes."""
    canvas.side(x, 0, height, z0, z1, FENCE, (70, 84, 66), 0.8)
    for z in np.arange(z0, z1, 0.45):
        canvas.side(x, 0, height, z, z + 0.14, None, color)
    for y in (0.1, height - 0.15):
        canvas.side(x, y, y + 0.1, z0, z1, None, color)


def lamp_post(canvas: Canvas, x, z, reach: float) -> None:
    canvas.rectangle(x - 0.08, x + 0.08, 0, 6.5, z, POLE, (110, 112, 115))
    canvas.rectangle(min(x, x + reach), max(x, x + reach), 6.4, 6.52, z, POLE, (110, 112, 115))


def traffic_light(canvas: Canvas, rng, x, z) -> None:
    canvas.rectangle(x - 0.07, x + 0.07, 0, 3.0, z, POLE, (95, 97, 100))
    canvas.rectangle(x - 0.2, x + 0.2, 2.5, 3.6, z, LIGHT, (28, 30, 30))
    lamps = [(220, 40, 30), (235, 170, 30), (40, 200, 90)]
    lit = rng.integers(3)
    for i, color in enumerate(lamps):
        canvas.disc((x, 3.38 - 0.34 * i, z), 0.12, None, color, 1.0 if i == lit else 0.3)


def traffic_sign(canvas: Canvas, rng, x, z) -> None:
    canvas.rectangle(x - 0.05, x + 0.05, 0, 2.4, z, POLE, (130, 132, 135))
    kind = rng.integers(3)
    if kind == 0:
        canvas.disc((x, 2.5, z), 0.42, SIGN, (200, 30, 35))
        canvas.disc((x, 2.5, z), 0.3, None, (240, 240, 240))
    elif kind == 1:
        canvas.rectangle(x - 0.4, x + 0.4, 2.1, 2.9, z, SIGN, (30, 80, 170))
        canvas.rectangle(x - 0.12, x + 0.12, 2.25, 2.75, z, None, (240, 240, 240))
    else:
        canvas.polygon([(x - 0.45, 2.1, z), (x + 0.45, 2.1, z), (x, 2.9, z)], SIGN, (215, 45, 40))
        canvas.polygon([(x - 0.26, 2.2, z), (x + 0.26, 2.2, z), (x, 2.66, z)], None, (240, 238, 225))


def car(canvas: Canvas, x, z, color: Color, towards: bool, label: int = CAR) -> None:
    """Body, cabin, windows, wheels and lamps; ``towards`` shows its front."""
    half, length = 0.9, 4.2
    canvas.shadow(x - half, x + half, z, z + length)
    inner = x - half if x > 0 else x + half
    canvas.side(inner, 0.25, 0.95, z, z + length, label, color, 0.75)
    cabin = [(inner, 0.95, z + 0.5), (inner, 0.95, z + 3.3), (inner, 1.48, z + 2.7), (inner, 1.48, z + 0.9)]
    canvas.polygon(cabin, label, color, 0.7)
    glass = [(inner, 1.0, z + 0.75), (inner, 1.0, z + 3.0), (inner, 1.42, z + 2.6), (inner, 1.42, z + 1.0)]
    canvas.polygon(glass, None, (35, 45, 55))
    for along in (0.8, 3.4):
        canvas.polygon(_wheel(inner, 0.32, z + along), label, (22, 22, 24))
    canvas.rectangle(x - half, x + half, 0.25, 0.95, z, label, color)
    roof = [(x - half, 0.95, z), (x + half, 0.95, z), (x + 0.68, 1.48, z + 0.4), (x - 0.68, 1.48, z + 0.4)]
    canvas.polygon(roof, label, color, 0.92)
    window = [(x - 0.78, 1.0, z), (x + 0.78, 1.0, z), (x + 0.6, 1.4, z + 0.4), (x - 0.6, 1.4, z + 0.4)]
    canvas.polygon(window, None, (40, 52, 64))
    for edge in (x - half, x + half - 0.35):
        canvas.rectangle(edge, edge + 0.35, 0.66, 0.84, z, None, (245, 240, 215) if towards else (190, 25, 25))
        canvas.rectangle(edge + 0.02, edge + 0.26, 0.0, 0.3, z, label, (20, 20, 22))
    canvas.rectangle(x - 0.26, x + 0.26, 0.42, 0.56, z, None, (235, 235, 225))


def big_vehicle(canvas: Canvas, rng, x, z, kind: int, color: Color) -> None:
    """Bus, truck or tram: a tall box with what tells them apart."""
    width, height, length = {BUS: (2.5, 3.1, 11.0), TRUCK: (2.5, 3.5, 8.0), TRAIN: (2.7, 3.5, 26.0)}[kind]
    x0, x1 = x - width / 2, x + width / 2
    canvas.shadow(x0, x1, z, z + length)
    inner = canvas.box(x0, x1, 0.35, height, z, z + length, kind, color)
    if kind == TRUCK:
        canvas.rectangle(x0, x1, 0.35, 0.8, z, kind, (60, 62, 66))
        for post in np.linspace(x0 + 0.1, x1 - 0.2, 4):
            canvas.rectangle(post, post + 0.06, 0.9, height - 0.15, z, None, color, 0.65)
        canvas.side(inner, 0.5, 2.6, z + length, z + length + 2.0, kind, (150, 40, 40), 0.8)
    else:
        top = 0.88 * height
        canvas.rectangle(x0 + 0.2, x1 - 0.2, 0.48 * height, top, z, None, (38, 48, 60))
        for along in np.arange(z + 0.6, z + length - 1.2, 1.6):
            canvas.side(inner, 0.48 * height, top - 0.1, along, along + 1.25, None, (45, 58, 72))
        canvas.rectangle(x0, x1, 0.4 * height, 0.43 * height, z, None, (235, 235, 230))
    for along in (1.4, min(length - 1.5, 9.0)):
        canvas.polygon(_wheel(inner, 0.45, z + along), kind, (20, 20, 22))
    for edge in (x0 + 0.12, x1 - 0.42):
        canvas.rectangle(edge, edge + 0.3, 0.6, 0.8, z, None, (200, 30, 25) if rng.random() < 0.5 else (245, 240, 215))


def person(canvas: Canvas, rng, x, z, label: int = PERSON, foot: float = 0.0, size: float = 1.0) -> None:
    """Legs, torso, arms and head; a rider sits with its feet at ``foot`` metres."""
    top, trousers = rng.uniform(30, 220, 3), rng.uniform(25, 110, 3)
    height = 1.75 * size
    stride = rng.uniform(0.03, 0.14)
    for sign in (-1, 1):
        hip, heel = x + sign * 0.08, x + sign * (0.08 + stride)
        leg = [(hip - 0.08, 0.5, z), (hip + 0.08, 0.5, z), (heel + 0.07, 0, z), (heel - 0.07, 0, z)]
        canvas.polygon([(a, foot + b * height, c) for a, b, c in leg], label, tuple(trousers), 0.9 + 0.1 * sign)
        arm = [(x + sign * 0.2, 0.82), (x + sign * 0.29, 0.8), (x + sign * 0.3, 0.5), (x + sign * 0.22, 0.5)]
        canvas.polygon([(a, foot + b * height, z) for a, b in arm], label, tuple(top), 0.8)
    torso = [(x - 0.2, 0.48), (x + 0.2, 0.48), (x + 0.23, 0.84), (x - 0.23, 0.84)]
    canvas.polygon([(a, foot + b * height, z) for a, b in torso], label, tuple(top))
    canvas.disc((x, foot + 0.92 * height, z), 0.125 * size, label, (205, 165, 135))
    canvas.disc((x, foot + 0.955 * height, z), 0.115 * size, label, (60, 45, 35))


def two_wheeler(canvas: Canvas, rng, x, z, label: int, ridden: bool) -> None:
    """Bicycle or motorcycle seen from the side, with or without its rider."""
    radius = 0.34 if label == BICYCLE else 0.31
    color = tuple(rng.uniform(40, 200, 3))
    for dx in (-0.55, 0.55):
        canvas.disc((x + dx, radius, z), radius, label, (25, 25, 28))
        if label == BICYCLE:
            canvas.disc((x + dx, radius, z), radius * 0.78, None, (120, 120, 118))
    body = [(x - 0.55, radius, z), (x + 0.5, radius + 0.1, z), (x + 0.42, 0.98, z), (x - 0.2, 0.85, z)]
    canvas.polygon(body, label, color, 0.85)
    if label == BICYCLE:
        gap = [(x - 0.3, radius + 0.1, z), (x + 0.38, radius + 0.15, z), (x + 0.3, 0.8, z), (x - 0.12, 0.74, z)]
        canvas.polygon(gap, None, (128, 126, 120))
    canvas.rectangle(x + 0.32, x + 0.56, 0.98, 1.04, z, label, (40, 40, 40))
    if ridden:
        person(canvas, rng, x - 0.1, z, RIDER, foot=0.32, size=0.85)


def _wheel(x: float, radius: float, z: float) -> list[tuple[float, float, float]]:
    """Outline of a wheel in the plane along the street."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return [(x, radius + radius * np.sin(a), z + radius * np.cos(a)) for a in angle]
