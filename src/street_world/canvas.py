"""Canvas of a street scene: a pinhole camera, and image and label painted at once.

World coordinates are metres: x to the right of the camera, y above the ground, z ahead. Everything is painted over what
was painted before, so callers go from far to near.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

EGO, STATIC, DYNAMIC, GROUND, ROAD, SIDEWALK, PARKING = 1, 4, 5, 6, 7, 8, 9  # Cityscapes label ids
BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY = 11, 12, 13, 17, 19, 20, 21, 22, 23
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = 24, 25, 26, 27, 28, 31, 32, 33

Color = tuple[float, float, float]  # RGB, 0..255
Point = tuple[float, float, float]  # x, y, z
NEAR = 1.5  # metres; nothing closer is drawn
SUBPIXEL_BITS = 4
_FACTOR = 2**SUBPIXEL_BITS
_HALF = _FACTOR // 2  # pixel centres
LIMIT = 30000.0  # pixels; OpenCV's fixed point numbers end beyond
_CIRCLE = [(math.cos(a * math.pi / 10), math.sin(a * math.pi / 10)) for a in range(20)]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera: height above the road in metres, horizon and vanishing point as shares of the image."""

    height: float
    horizon: float
    vanishing: float


class Canvas:
    """Image (small ones drawn twice as large and averaged, so edges are smooth) and label ids of one scene."""

    def __init__(self, size: tuple[int, int], camera: Camera, haze: Color, visibility: float, light: int, dusk=False):
        """``size``: (H, W). ``light``: -1: light from the left, 1: from the right. ``dusk``: windows are lit."""
        self.size, self.camera, self.light, self.dusk = size, camera, light, dusk
        self._haze, self._visibility = haze, visibility
        self._scale = 2 if size[1] <= 640 else 1
        self._edges = cv2.LINE_8 if self._scale == 2 else cv2.LINE_AA
        self._center = camera.vanishing * size[1], camera.horizon * size[0]
        self.label = np.full(size, SKY, np.uint8)
        self.image = np.zeros((size[0] * self._scale, size[1] * self._scale, 3), np.uint8)

    def finished(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return cv2.resize(self.image, self.size[::-1], interpolation=cv2.INTER_AREA)

    def zoom(self, z: float) -> float:
        """Pixels of the painted image per metre at distance ``z``: what is smaller than one need not be drawn."""
        return self.size[1] * self._scale / max(z, NEAR)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) metres -> (..., 2) pixels of the label."""
        scale = self.size[1] / np.maximum(points[..., 2], NEAR)
        x = self._center[0] + points[..., 0] * scale
        return np.stack([x, self._center[1] + (self.camera.height - points[..., 1]) * scale], -1)

    def polygon(self, points: Sequence[Point], label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Filled polygon; label None paints the image only, color None the label only."""
        (cx, cy), height, focal = self._center, self.camera.height, self.size[1]
        pixels, depth = [], 0.0
        for x, y, z in points:  # plain floats: numpy is slower for four points
            scale = focal / (z if z > NEAR else NEAR)
            pixels.append((cx + x * scale, cy + (height - y) * scale))
            depth += z
        self.pixels(pixels, label, color, shade, depth / len(points))

    def pixels(self, pixels, label: int | None, color: Color | None, shade: float = 1.0, z: float = 0.0) -> None:
        """The same for points in pixels of the label, hazy as at distance ``z``."""
        columns, rows = zip(*pixels, strict=True)
        left, right, top, bottom = min(columns), max(columns), min(rows), max(rows)
        if right < 0 or left > self.size[1] or bottom < 0 or top > self.size[0]:
            return
        if right - left < 0.3 and bottom - top < 0.3:
            return
        if right - left > LIMIT or bottom - top > LIMIT:
            pixels = np.clip(np.array(pixels), -LIMIT, LIMIT).tolist()
        if label is not None:
            corners = np.array([(int(x * _FACTOR) - _HALF, int(y * _FACTOR) - _HALF) for x, y in pixels], np.int32)
            cv2.fillPoly(self.label, [corners], int(label), cv2.LINE_8, SUBPIXEL_BITS)
        if color is not None:
            zoom = self._scale * _FACTOR
            corners = np.array([(int(x * zoom) - _HALF, int(y * zoom) - _HALF) for x, y in pixels], np.int32)
            cv2.fillPoly(self.image, [corners], self.seen(color, shade, z), self._edges, SUBPIXEL_BITS)

    def quads(self, corners: np.ndarray, color: Color, shade: float = 1.0) -> None:
        """Many polygons (n, k, 3) of one colour and haze that do not overlap; paints the image only."""
        if not len(corners):
            return
        pixels = self.project(corners)
        low, high = pixels.min(1), pixels.max(1)
        seen = (high > 0).all(1) & (low < self.size[::-1]).all(1) & (high - low > 0.3).all(1)
        if seen.any():
            points = ((np.clip(pixels[seen], -LIMIT, LIMIT) * self._scale - 0.5) * _FACTOR).round().astype(np.int32)
            shown = self.seen(color, shade, float(corners[..., 2].mean()))
            cv2.fillPoly(self.image, list(points), shown, self._edges, SUBPIXEL_BITS)

    def stroke(self, points: Sequence[Point], width: float, label: int | None, color: Color, closed=False) -> None:
        """A line ``width`` metres thick, at least one pixel."""
        if label is None and self.zoom(points[0][2]) * width < 0.25:
            return
        pixels = self.project(np.array(points, float))
        if (pixels.max(0) < 0).any() or (pixels.min(0) > self.size[::-1]).any():
            return
        z = points[0][2]
        for target, scale, value in ((self.label, 1, label), (self.image, self._scale, self.seen(color, 1.0, z))):
            if value is not None:
                thick = max(1, round(width * self.size[1] * scale / max(z, NEAR)))
                corners = ((np.clip(pixels, -LIMIT, LIMIT) * scale - 0.5) * _FACTOR).round().astype(np.int32)
                edges = cv2.LINE_8 if target is self.label else self._edges
                cv2.polylines(target, [corners], closed, value, thick, edges, SUBPIXEL_BITS)

    def disc(self, center: Point, radius: float, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright disc facing the camera."""
        pixels = radius * self.size[1] / max(center[2], NEAR)
        if pixels > 0.25:
            scale = self.size[1] / max(center[2], NEAR)
            cx, cy = self._center[0] + center[0] * scale, self._center[1] + (self.camera.height - center[1]) * scale
            self.pixels([(cx + pixels * c, cy + pixels * s) for c, s in _CIRCLE], label, color, shade, center[2])

    def blobs(self, centers: np.ndarray, outlines: np.ndarray, z: float, label, color: Color, shades) -> None:
        """Irregular clusters: centers (n, 2) x, y in metres; outlines (n, k) radii in metres; shades (n,)."""
        angle = np.linspace(0, 2 * np.pi, outlines.shape[1], endpoint=False)
        zoom = self.size[1] / max(z, NEAR)
        x = self._center[0] + zoom * (centers[:, :1] + outlines * np.cos(angle))
        y = self._center[1] + zoom * (self.camera.height - centers[:, 1:] - outlines * np.sin(angle))
        if x.max() < 0 or x.min() > self.size[1] or y.max() < 0:
            return
        pixels = np.clip(np.stack([x, y], -1), -LIMIT, LIMIT) * _FACTOR - _HALF
        if label is not None:
            for corners in pixels.astype(np.int32):
                cv2.fillPoly(self.label, [corners], label, cv2.LINE_8, SUBPIXEL_BITS)
        pixels = (pixels + _HALF) * self._scale - _HALF
        for corners, shade in zip(pixels.astype(np.int32), shades, strict=True):
            cv2.fillPoly(self.image, [corners], self.seen(color, shade, z), self._edges, SUBPIXEL_BITS)

    def rectangle(self, x0, x1, y0, y1, z, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright rectangle facing the camera."""
        self.polygon([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], label, color, shade)

    def side(self, x, y0, y1, z0, z1, label: int | None, color: Color | None, shade: float = 1.0) -> None:
        """Upright rectangle along the street, at ``x``."""
        self.polygon([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)], label, color, shade)

    def ground(self, x0, x1, z0, z1, label: int | None, color: Color | None) -> None:
        """Flat rectangle on the ground, without haze: ``settle_ground`` adds it."""
        self.polygon([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], label, color, -1.0)

    def box(self, x0, x1, y0, y1, z0, z1, label: int, color: Color) -> float:
        """The visible side and the front of a box; returns the x of the visible side."""
        inner = x0 if x0 > 0 else x1
        if not x0 < 0 < x1:
            self.side(inner, y0, y1, z0, z1, label, color, self.facing(inner, x0, x1))
        if z0 > NEAR:
            self.rectangle(x0, x1, y0, y1, z0, label, color, 0.88)
        return inner

    def facing(self, inner: float, x0: float, x1: float) -> float:
        """Brightness of the visible side of a thing between ``x0`` and ``x1``."""
        return 1.06 if (inner == x1) == (self.light > 0) else 0.72

    def settle_ground(self, grain: np.ndarray, shadows: list, depth: float, sunny: float) -> None:
        """Gives the painted ground its grain, shadows and haze.

        Args:
            grain: square tile of zero-mean noise, 1/32 m per cell, in shares of the brightness.
            shadows: (outline [(x, z)...], darkness 0..1, whether it is cast by the sun) of things that stand on it.
            depth: metres over which the grain fades.
            sunny: how dark a cast shadow is, 0..1.
        """
        height, width = self.size
        top = min(int(self._center[1]) + 1, height - 1)
        rows = np.arange(top, height, 1 / self._scale, np.float32) + 0.5 / self._scale
        z = self.camera.height * width / np.maximum(rows - self._center[1], 0.05)
        columns = (np.arange(0, width, 1 / self._scale, np.float32) + 0.5 / self._scale - self._center[0]) / width
        cells = 32.0
        map_x = np.mod(np.outer(z, columns) * cells, grain.shape[1]).astype(np.float32)
        map_y = np.repeat(np.mod(z * cells, grain.shape[0])[:, None], map_x.shape[1], 1).astype(np.float32)
        change = cv2.remap(grain, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        change = 1 + change * np.exp(-z / depth)[:, None]
        change *= self._shade_of(shadows, sunny, top, change.shape)
        clear = np.exp(-z / self._visibility)[:, None]
        area = self.image[-len(rows) :]
        change *= clear
        for channel, haze in enumerate(self._haze):
            area[..., channel] = np.clip(area[..., channel] * change + haze * (1 - clear), 0, 255).astype(np.uint8)

    def _shade_of(self, shadows: list, sunny: float, top: int, shape: tuple[int, int]) -> np.ndarray:
        """(rows below the horizon, W) factors of the brightness at the painted resolution."""
        mask = np.zeros(self.size, np.uint8)
        for outline, darkness, cast in sorted(shadows, key=lambda shadow: -shadow[2]):
            if outline[0][1] > 90:
                continue  # a line at the horizon
            points = self.project(np.array([(x, 0.0, z) for x, z in outline]))
            corners = ((np.clip(points, -LIMIT, LIMIT) - 0.5) * _FACTOR).round().astype(np.int32)
            value = round(255 * darkness * (sunny if cast else 1.0))
            cv2.fillPoly(mask, [corners], value, cv2.LINE_8, SUBPIXEL_BITS)
        soft = cv2.GaussianBlur(mask[top:], (0, 0), max(self.size[1] / 700, 0.5))
        return 1 - cv2.resize(soft, shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255

    def seen(self, color: Color, shade: float, z: float) -> Color:
        """A colour through ``z`` metres of haze; a negative ``shade`` means -shade without haze."""
        clear = 1.0 if shade < 0 else math.exp(-z / self._visibility)
        shade = abs(shade)
        (r, g, b), (hr, hg, hb), rest = color, self._haze, 1 - clear
        shade *= clear
        return (min(r * shade + hr * rest, 255.0), min(g * shade + hg * rest, 255.0), min(b * shade + hb * rest, 255.0))
