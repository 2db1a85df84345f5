"""Seeded damage to bytes."""

import numpy as np

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)


def mutate(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Damaged bytes and the word for what was done; ``cut`` and ``zeros`` lose at least an eighth of the end."""
    if rng.random() < 0.2:
        kept = int(rng.integers(0, len(data) * 7 // 8))
        if rng.random() < 0.5:
            return data[:kept], "cut"
        return data[:kept] + bytes(len(data) - kept), "zeros"
    result = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        # Half of the damage hits the beginning, where most formats have what can go wrong.
        end = len(result) if rng.random() < 0.5 else min(len(result), 256)
        place, length = int(rng.integers(0, max(end, 1))), int(rng.integers(1, 64))
        kind = int(rng.integers(0, 6))
        if kind == 0 and result:
            result[min(place, len(result) - 1)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            width = int(rng.choice([1, 2, 4, 8]))
            number = EXTREMES[int(rng.integers(0, len(EXTREMES)))] % (1 << 8 * width)
            order = "little" if rng.random() < 0.5 else "big"
            result[place : place + width] = number.to_bytes(width, order)
        elif kind == 2:
            result[place : place + length] = rng.bytes(length)
        elif kind == 3:
            result[place:place] = rng.bytes(length)
        elif kind == 4:
            del result[place : place + length]
        else:
            other = int(rng.integers(0, max(len(result), 1)))
            result[place : place + length] = result[other : other + length]
    return bytes(result), "damage"
