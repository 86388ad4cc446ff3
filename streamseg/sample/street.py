"""Dice and the time come in; what stands, walks and drives ahead goes out, farthest first."""

from dataclasses import dataclass

import numpy as np

from streamseg.sample import things
from streamseg.sample.textures import stock
from streamseg.sample.world import FAR, FRONT, KERB, LANE, NEAR, PARKED, SPEED


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Thing:
    """Something whose near end is at (x, z) at the time `born`, moving on at `speed` (m, s, m/s).

    Attributes:
        shadow: half the width of the shadow under it, 0 for none.
        sight: meters ahead at which it comes into sight.
    """

    x: float
    z: float
    draw: things.Draw
    born: float
    length: float = 0.0
    speed: float = 0.0
    shadow: float = 0.0
    sight: float = FAR - 50


class Street:
    """Builds both sides plot by plot as far as one can see, and forgets what has passed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.things: list[Thing] = []
        self.built = {-1: -6.0, 1: -9.0}  # meters, by side
        self.count = {-1: 0, 1: 2}  # plots
        self.houses, self.crowns, self.fence = stock()
        for z in (17.0, 52.0):
            self._add_car(True, -LANE - 0.1, z, SPEED)

    def ahead(self, time: float) -> list[tuple[Thing, float]]:
        """What the camera may see, with its distance (of the near end, meters), farthest first."""
        traveled = SPEED * time
        while min(self.built.values()) < traveled + FAR:
            self._build(min(self.built, key=lambda side: self.built[side]))
        placed = [(t, t.z + t.speed * (time - t.born) - traveled) for t in self.things]
        placed = [(thing, z) for thing, z in placed if z + thing.length > NEAR]
        self.things = [thing for thing, _ in placed]
        seen = [(thing, z) for thing, z in placed if z < thing.sight]
        return sorted(seen, key=lambda pair: -pair[1] - pair[0].length)

    def _add(self, draw: things.Draw, x: float, z: float, **how: float) -> None:
        self.things.append(Thing(x=x, z=z, draw=draw, born=max(0.0, (z - FAR) / SPEED), **how))

    def _add_car(self, away: bool, x: float, z: float, speed: float) -> None:
        self._add(things.car(self.rng, away), x, z, length=4, speed=speed, shadow=0.9)

    def _build(self, side: int) -> None:
        """Add one plot: a house or a garden, and what stands, walks and drives before it."""
        rng, start, count = self.rng, self.built[side], self.count[side]
        if count % 5 == 3:
            length, home = 12.0, things.garden(rng, side, self.fence, self.crowns)
        else:
            house = self.houses[int(rng.integers(len(self.houses)))]
            length, home = house.length, things.building(rng, side, house)
        self._add(home, side * FRONT, start, length=length, sight=FAR)
        if count % 3 == 1:
            self._add(things.lamp(rng, side), side * (KERB + 0.4), start + 1)
        if count % 3 == 2:
            self._add(things.sign(rng), side * (KERB + 0.6), start + 3)
        if count % 4 == 0:
            crown = self.crowns[int(rng.integers(len(self.crowns)))]
            self._add(things.street_tree(rng, crown), side * (KERB + 0.9), start + 5)
        for _ in range(int(rng.integers(0, 3))):
            x, z = side * rng.uniform(6.2, 8), start + rng.uniform(0, length)
            walker = things.pedestrian(rng)
            self._add(walker, x, z, speed=1.3 * rng.choice([-1, 1]), shadow=0.25)
        if count % 6 == 3:
            rider, speed = things.cyclist(rng, side < 0), -side * 4.5
            self._add(rider, side * 3.3, start + 4, length=1.75, speed=speed, shadow=0.3)
        if rng.random() < 0.4:
            self._add_car(side < 0, side * PARKED, start + 2, 0.0)
        if side > 0 and rng.random() < 0.3:
            self._add_car(False, LANE + 0.1, start + 2, -8.0)
        self.built[side] = start + length
        self.count[side] = count + 1
