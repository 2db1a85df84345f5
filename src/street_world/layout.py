"""Where things are in a street scene: house fronts, furniture, people and traffic.

Nothing here depends on how a domain looks or on the size of the image: a layout is drawn from the plan's ``Town``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from src.street_world import people, street, vehicles
from src.street_world.canvas import BICYCLE, BUS, CAR, MOTORCYCLE, TRAIN, TRUCK, Canvas
from src.street_world.ground import JUNCTION_WIDTH, Plan

PAINTS = ((200, 200, 205), (40, 42, 48), (150, 30, 30), (35, 60, 120), (230, 230, 228), (95, 98, 104), (160, 140, 60))
FEATURED = (TRUCK, BICYCLE, BUS, MOTORCYCLE, TRAIN)  # scene i shows FEATURED[i % 5], so a small set has every class


@dataclass
class Thing:
    """Something that stands on the ground: how far its far end is, how it is painted, where it darkens the ground.

    Shadows are (outline [(x, z)...], darkness 0..1, whether the sun casts them).
    """

    z: float
    draw: Callable[[Canvas], None]
    shadows: list = field(default_factory=list)


def make_things(rng, plan: Plan, number: int) -> list[Thing]:
    """All that stands in scene ``number``, from far to near."""
    things = _skyline(rng, plan)
    for sign in (-1, 1):
        things += _roadside(rng, plan, sign)
        things += _furniture(rng, plan, sign)
        things += _people(rng, plan, sign)
    things += _traffic(rng, plan, number)
    return sorted(things, key=lambda thing: -thing.z)


def _own(rng) -> np.random.Generator:
    """Random numbers for one thing alone, so that what it skips when small changes nothing else."""
    return np.random.default_rng(int(rng.integers(2**62)))


def _footprint(x0, x1, z0, z1) -> list:
    return [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]


def _tree(rng, plan: Plan, x, z, height, key=None) -> Thing:
    along, reach = -plan.light * height * 0.5, height * 0.26
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    crown = [(x + along + reach * 1.4 * np.cos(a), z + 0.4 + reach * np.sin(a)) for a in angle]
    trunk = [(x - 0.1, z), (x + 0.1, z), (x + along, z + 0.5), (x + along, z + 0.3)]
    draw = partial(street.tree, rng=_own(rng), x=x, z=z, height=height, leaf=plan.leaf)
    return Thing(key or z, draw, [(crown, 1.0, True), (trunk, 1.0, True)])


def _skyline(rng, plan: Plan) -> list[Thing]:
    things = []
    for x in np.arange(-190, 190, 15.0):
        z, height, tone = rng.uniform(195, 250), rng.uniform(8, 26), rng.uniform(110, 180)
        if rng.random() < 0.6:
            color = (tone, tone * 0.96, tone * 0.9)
            draw = partial(street.block, x=x, width=rng.uniform(11, 19), height=height, z=z, color=color)
            things.append(Thing(z, draw))
        else:
            things.append(_tree(rng, plan, x, z, height * 0.8))
    return things


def _roadside(rng, plan: Plan, sign: int) -> list[Thing]:
    """Along one side: mostly buildings, in between walls, fences, hedges and trees on grass."""
    index = 0 if sign < 0 else 1
    curb = plan.left if sign < 0 else plan.right
    edge = curb + sign * (plan.walk[index] + plan.verge[index])
    things, z = [], 190.0
    while z > 2:
        near = z - rng.uniform(7, 20)
        if plan.junction and near < plan.junction + JUNCTION_WIDTH + 2 and z > plan.junction - 2:
            far = plan.junction + JUNCTION_WIDTH + 2
            if z > far + 5:
                near = far
            else:
                z = plan.junction - 2
                continue
        kind = rng.choice(5, p=plan.town.plots)
        things += _plot(rng, plan, sign, edge, near, z, kind)
        z = near
    return things


def _plot(rng, plan: Plan, sign: int, edge, near, z, kind) -> list[Thing]:
    """One piece of ground beside the pavement: a building, or trees behind a wall, a fence, a hedge or nothing."""
    if kind == 0:
        inner, depth, height = edge + sign * rng.uniform(0, 0.6), rng.uniform(8, 14), rng.uniform(*plan.town.height)
        x0, x1 = sorted((inner, inner + sign * depth))
        facades = plan.town.facades
        color = tuple(np.array(facades[rng.integers(len(facades))]) * rng.uniform(0.85, 1.1))
        box = {"x0": x0, "x1": x1, "z0": near, "z1": z}
        draw = partial(street.building, rng=_own(rng), height=height, color=color, **box)
        shadow = _footprint(inner, inner - plan.light * height * 0.35, near - 2, z)
        return [Thing(z, draw, [(shadow, 1.0, True)] if sign == plan.light else [])]
    things = []
    for _ in range(rng.integers(2, 5)):
        x, at, height = edge + sign * rng.uniform(3, 14), rng.uniform(near, z), rng.uniform(5, 11)
        # Behind the fence or wall: painted before it, although parts of that are farther away.
        things.append(_tree(rng, plan, x, max(at, 6), height, key=z + 0.1 + 0.01 * max(at, 6)))
    span = {"x": edge, "z0": max(near, 2), "z1": z}
    if kind == 1:
        draw = partial(street.wall, height=rng.uniform(1.4, 2.8), color=plan.town.wall, **span)
    elif kind == 2:
        draw = partial(street.fence, height=rng.uniform(1.1, 1.9), color=plan.town.fence, **span)
    elif kind == 3:
        draw = partial(street.hedge, rng=_own(rng), height=rng.uniform(1, 2.2), leaf=plan.leaf, **span)
    else:
        return things
    return [*things, Thing(z, draw, [(_footprint(edge - 0.25, edge + 0.25, span["z0"], z), 0.35, False)])]


def _blocked(plan: Plan, z: float) -> bool:
    return plan.junction is not None and plan.junction - 1 < z < plan.junction + JUNCTION_WIDTH + 1


def _furniture(rng, plan: Plan, sign: int) -> list[Thing]:
    """Lamp posts, traffic lights, signs, bollards, bins and street trees on one pavement."""
    curb = (plan.left if sign < 0 else plan.right) + sign * 0.45
    outer = (plan.left if sign < 0 else plan.right) + sign * (plan.walk[0 if sign < 0 else 1] - 0.4)
    lights = [plan.junction - 2.2, plan.junction + JUNCTION_WIDTH + 2.2] if plan.junction else []
    stands = [  # where, what
        (_row(rng, (8, 20), 110, (16, 28)), partial(street.lamp_post, x=curb, reach=-sign * 1.8)),
        ([*lights, *rng.uniform(10, 60, rng.integers(0, 2))], partial(street.traffic_light, x=curb + sign * 0.2)),
        (rng.uniform(8, 50, rng.integers(1, 5)), partial(street.traffic_sign, x=curb + sign * 0.3)),
        (_row(rng, (6, 9), 30 * (rng.random() < 0.25), (2.2, 2.3)), partial(street.bollard, x=curb - sign * 0.15)),
        (rng.uniform(8, 40, rng.poisson(0.5)), partial(street.bin_box, x0=outer - 0.25, x1=outer + 0.25)),
    ]
    things, tip = [], curb - plan.light * 3
    for places, draw in stands:
        for z in places:
            cast = [(curb - 0.07, z), (curb + 0.07, z), (tip, z + 0.5), (tip, z + 0.4)]
            things.append(Thing(z, partial(draw, z=z, rng=_own(rng)), [(cast, 1.0, True)]))
    for z in _row(rng, (10, 18), 100 * (rng.random() < plan.town.trees), (8, 13)):
        things.append(_tree(rng, plan, outer, z, rng.uniform(5, 9.5)))
    return [thing for thing in things if not _blocked(plan, thing.z)]


def _row(rng, first: tuple[float, float], end: float, step: tuple[float, float]) -> np.ndarray:
    """Evenly spaced places from one within ``first`` to ``end``."""
    return np.arange(rng.uniform(*first), end, rng.uniform(*step))


def _people(rng, plan: Plan, sign: int) -> list[Thing]:
    """Passers-by, now and then two together, and parked two-wheelers."""
    things, width = [], plan.walk[0 if sign < 0 else 1]
    curb = plan.left if sign < 0 else plan.right
    for z in rng.uniform(7.5, 42, rng.integers(*plan.town.people)):
        x, pair = curb + sign * rng.uniform(0.6, max(width - 0.4, 0.8)), rng.random() < 0.25
        for dx in (0.0, 0.55) if pair else (0.0,):
            things.append(_person(rng, plan, x + dx, z + 0.1 * dx))
    for z in rng.uniform(8, 28, rng.poisson(plan.town.parked_two_wheelers)):
        kind = BICYCLE if rng.random() < 0.6 else MOTORCYCLE
        things.append(_two_wheeler(rng, curb + sign * 0.9, z, kind, False, True))
    return things


def _person(rng, plan: Plan, x, z) -> Thing:
    cast = [(x - 0.2, z), (x + 0.2, z), (x - plan.light * 1.1, z + 0.45), (x - plan.light * 1.2, z + 0.25)]
    foot = _footprint(x - 0.25, x + 0.25, z - 0.1, z + 0.15)
    draw = partial(people.person, rng=_own(rng), x=x, z=z, size=rng.uniform(0.75, 1.08))
    return Thing(z, draw, [(cast, 1.0, True), (foot, 0.4, False)])


def _two_wheeler(rng, x, z, kind, ridden: bool, across: bool) -> Thing:
    reach = (0.9, 0.2) if across else (0.2, 1.6)
    foot = _footprint(x - reach[0], x + reach[0], z - 0.1, z + reach[1])
    options = {"kind": kind, "ridden": ridden, "across": across}
    draw = partial(people.two_wheeler, rng=_own(rng), x=x, z=z, **options)
    return Thing(z, draw, [(foot, 0.5, False)])


def _vehicle(rng, plan: Plan, x, z, kind, towards: bool) -> Thing:
    paint = tuple(np.array(PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.85, 1.1))
    length, half, height = (4.3, 0.95, 1.4) if kind == CAR else (26.0 if kind == TRAIN else 9.0, 1.3, 3.2)
    under = _footprint(x - half, x + half, z - 0.15, z + length)
    cast = _footprint(*sorted((x, x - plan.light * (half + height * 0.5))), z + 0.3, z + length + 0.5)
    options = {"rng": _own(rng), "x": x, "z": z, "color": paint, "towards": towards}
    draw = partial(vehicles.car, **options) if kind == CAR else partial(vehicles.big_vehicle, kind=int(kind), **options)
    return Thing(z, draw, [(cast, 1.0, True), (under, 0.62, False)])


def _traffic(rng, plan: Plan, number: int) -> list[Thing]:
    """Driving and parked vehicles and riders. One rare kind is always there: FEATURED."""
    featured = FEATURED[number % len(FEATURED)]
    things: list[Thing] = []
    feature_lane = rng.integers(len(plan.lanes))
    for i, (x, towards) in enumerate(plan.lanes):
        z = rng.uniform(8, 24) if x else rng.uniform(12, 34)
        is_first = i == feature_lane and featured in (TRUCK, BUS, TRAIN)
        while z < 130:
            kind = featured if is_first else rng.choice([CAR, TRUCK, BUS, TRAIN], p=[0.91, 0.04, 0.025, 0.025])
            z, is_first = z + (0 if kind == CAR else 3), False
            if not _blocked(plan, z):
                things.append(_vehicle(rng, plan, x + rng.uniform(-0.25, 0.25), z, kind, towards))
            z += rng.uniform(*plan.town.gap) + (5 if kind == CAR else 28 if kind == TRAIN else 10)
    things += _parked(rng, plan)
    riders = [BICYCLE if rng.random() < 0.6 else MOTORCYCLE for _ in range(rng.poisson(plan.town.riders))]
    for kind in riders + ([featured] if featured in (BICYCLE, MOTORCYCLE) else []):
        side = int(rng.random() < 0.6)
        x = (plan.left, plan.right)[side] + (1, -1)[side] * (rng.uniform(0.6, 1.0) + 2.2 * plan.parked[side])
        things.append(_two_wheeler(rng, x, rng.uniform(7.5, 20), kind, True, rng.random() < 0.5))
    for z in rng.uniform(14, 40, rng.poisson(0.3)):
        things.append(_person(rng, plan, rng.uniform(plan.left, plan.right), z))
    return things


def _parked(rng, plan: Plan) -> list[Thing]:
    """Rows of parked cars along the kerbs."""
    things = []
    for curb, sign, has_room in ((plan.left, 1, plan.parked[0]), (plan.right, -1, plan.parked[1])):
        if has_room:
            for z in np.arange(rng.uniform(7, 14), rng.uniform(20, 70), 5.8):
                if rng.random() < 0.7 and not _blocked(plan, z):
                    things.append(_vehicle(rng, plan, curb + sign * 1.1, z, CAR, sign > 0))
    return things
