"""The ground of a street scene: lanes and their marks, pavements, grass, a crossing street."""

from dataclasses import dataclass

import numpy as np

from src.street_world.canvas import PARKING, ROAD, SIDEWALK, TERRAIN, Canvas
from src.street_world.town import Rgb, Town

LANE = 3.2  # metres
JUNCTION_WIDTH = 9.0  # metres


@dataclass
class Plan:
    """A cross-section of the street (metres, x to the right of the camera) and its lights."""

    left: float
    right: float
    walk: np.ndarray  # (2,) widths of the pavements
    verge: np.ndarray  # (2,) widths of the grass between pavement and house
    junction: float | None  # z of a crossing street's near edge
    lanes: list[tuple[float, bool]]  # middle of each, and whether its traffic comes towards the camera
    parked: tuple[bool, bool]  # room for parked cars along the left and the right kerb
    marked: bool  # the room on the right is marked as a parking lane
    leaf: tuple[float, float, float]
    light: int  # -1: light from the left
    town: Town


def make_plan(rng, light: int, town: Town) -> Plan:
    """Draws the street itself. The camera drives in the lane right of the centre line."""
    oncoming, own = (rng.choice((1, 2), p=[one, 1 - one]) for one in (town.oncoming, town.own))
    parked = bool(rng.random() < town.parked[0]), bool(rng.random() < town.parked[1])
    marked = bool(rng.random() < 0.5)
    left = -LANE * (oncoming + 0.5) - (2.2 if parked[0] else rng.uniform(0.0, 0.6))
    right = LANE * (own - 0.5) + (2.3 if parked[1] else rng.uniform(0.4, 1.6))
    lanes = [(-LANE * (k + 1), True) for k in range(oncoming)] + [(LANE * k, False) for k in range(own)]
    verge = np.where(rng.random(2) < town.verge, rng.uniform(1.2, 4.0, 2), 0.0)
    leaf = tuple(rng.uniform(*span) for span in town.leaf)
    junction = rng.uniform(20, 45) if rng.random() < 0.4 else None
    walk = rng.uniform(*town.walk, 2)
    return Plan(left, right, walk, verge, junction, lanes, parked, parked[1] and marked, leaf, light, town)


def paint_ground(canvas: Canvas, rng, plan: Plan) -> None:
    """Grass, pavements with joints and kerbs, road with its marks."""
    town = plan.town
    asphalt, paving = rng.uniform(*town.road), rng.uniform(*town.paving)
    gray, stone = _tinted(asphalt, town.road_tint), _tinted(paving, town.paving_tint)
    edges = (plan.left - plan.walk[0], plan.right + plan.walk[1])
    canvas.ground(-300, 300, 3, 2000, TERRAIN, town.grass)
    canvas.ground(*edges, 1.5, 2000, SIDEWALK, stone)
    for z in np.arange(3.5, 45, 0.9):
        canvas.ground(*edges, z, z + 0.035, None, (paving * 0.82,) * 3)
    for x in (edges[0] + plan.walk[0] / 2, edges[1] - plan.walk[1] / 2):
        canvas.ground(x, x + 0.035, 1.5, 45, None, (paving * 0.82,) * 3)
    canvas.ground(plan.left, plan.right, 1.5, 2000, ROAD, gray)
    if plan.junction:
        near, far = plan.junction, plan.junction + JUNCTION_WIDTH
        canvas.ground(-300, 300, near - 2, far + 2, SIDEWALK, stone)
        canvas.ground(-300, 300, near, far, ROAD, gray)
        canvas.ground(plan.left, plan.right, near - 3, far + 3, ROAD, gray)
    for x0, x1 in ((plan.left - 0.14, plan.left), (plan.right, plan.right + 0.14)):
        for z0, z1 in beside_junction(plan, 1.5, 300):
            canvas.ground(x0, x1, z0, z1, SIDEWALK, (paving * 1.16,) * 3)
    _paint_marks(canvas, rng, plan)


def _tinted(gray: float, tint: Rgb) -> Rgb:
    return tuple(gray * factor for factor in tint)


def beside_junction(plan: Plan, z0: float, z1: float) -> list[tuple[float, float]]:
    if not plan.junction:
        return [(z0, z1)]
    return [(z0, plan.junction - 2), (plan.junction + JUNCTION_WIDTH + 2, z1)]


def _paint_marks(canvas: Canvas, rng, plan: Plan) -> None:
    white = (214, 214, 208)
    offset, has_zebra, zebra = rng.uniform(0, 6), rng.random() < 0.35, rng.uniform(10, 24)
    if plan.marked:
        for z0, z1 in beside_junction(plan, 4, 70):
            canvas.ground(plan.right - 2.2, plan.right - 0.05, z0, z1, PARKING, (116, 108, 103))
            for z in np.arange(z0, min(z1, 60), 6.0):
                canvas.ground(plan.right - 2.2, plan.right - 0.05, z, z + 0.12, None, white)
    for x in (middle + LANE / 2 for middle, _ in plan.lanes if middle + LANE < max(plan.lanes)[0] + 0.1):
        is_center = x == -LANE / 2
        for z0, z1 in beside_junction(plan, 1.5, 150):
            if is_center and rng.random() < 0.3:
                canvas.ground(x - 0.07, x + 0.07, z0, z1, None, white)
                continue
            for z in np.arange(z0 + offset, z1, 6.0):
                canvas.ground(x - 0.07, x + 0.07, z, min(z + 2.8, z1), None, white)
    if plan.junction:
        zebra = plan.junction - 5.5
        canvas.ground(-LANE / 2, plan.right - 0.3, zebra - 1.4, zebra - 1.0, None, white)
    if has_zebra or plan.junction:
        for x in np.arange(plan.left + 0.4, plan.right - 0.5, 1.0):
            canvas.ground(x, x + 0.5, zebra, zebra + 3, None, white)
