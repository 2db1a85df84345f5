"""What the streets of a domain are like: from what a layout is drawn, and the colours of its materials."""

from dataclasses import dataclass

Range = tuple[float, float]
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Town:
    """Ranges and probabilities of a layout; lengths in metres, colours RGB 0..255. The defaults are world 3's."""

    road: Range = (72, 94)  # grey level
    road_tint: Rgb = (1.0, 1.0, 1.03)
    paving: Range = (138, 168)  # grey level of the pavements
    paving_tint: Rgb = (1.0, 0.97, 0.93)
    leaf: tuple[Range, Range, Range] = ((58, 92), (106, 140), (38, 62))
    grass: Rgb = (112, 134, 72)
    facades: tuple[Rgb, ...] = (
        (178, 150, 122),
        (190, 182, 168),
        (150, 92, 76),
        (205, 190, 150),
        (140, 142, 148),
        (170, 120, 96),
    )
    wall: Rgb = (165, 150, 132)
    fence: Rgb = (126, 128, 124)
    walk: Range = (1.8, 3.4)  # width of a pavement
    verge: float = 0.5  # probability of grass between pavement and house
    oncoming: float = 0.6  # probability of one oncoming lane instead of two
    own: float = 0.7  # probability of one lane in the camera's direction instead of two
    parked: tuple[float, float] = (0.4, 0.5)  # probability of parked cars on the left and on the right
    plots: tuple[float, ...] = (0.54, 0.11, 0.12, 0.12, 0.11)  # shares of house, wall, fence, hedge, nothing
    height: Range = (6, 19)  # of houses
    trees: float = 0.65  # probability of street trees on a pavement
    people: tuple[int, int] = (1, 7)  # on a pavement
    parked_two_wheelers: float = 0.5  # mean number on a pavement
    riders: float = 0.4  # mean number, besides the featured one
    gap: Range = (8, 40)  # between driving vehicles


SUNNY_TOWN = Town()
# Lighter roads and darker, reddish pavements: neither is known by its brightness alone. Leaves from green to brown.
OLD_TOWN = Town(
    road=(84, 114),
    road_tint=(1.03, 1.0, 0.96),
    paving=(104, 146),
    paving_tint=(1.08, 0.97, 0.9),
    leaf=((70, 150), (84, 124), (36, 60)),
    grass=(128, 124, 78),
    facades=((150, 132, 112), (168, 160, 146), (136, 84, 70), (182, 166, 130), (118, 120, 128), (122, 128, 104)),
    wall=(140, 122, 108),
    fence=(100, 98, 92),
    walk=(2.2, 4.2),
    verge=0.3,
    oncoming=0.75,
    own=0.8,
    parked=(0.55, 0.65),
    plots=(0.6, 0.1, 0.08, 0.12, 0.1),
    height=(9, 22),
    trees=0.6,
    people=(2, 9),
    parked_two_wheelers=0.8,
    riders=0.6,
    gap=(10, 45),
)
