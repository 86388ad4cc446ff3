"""What damage does to any file: bytes in, other bytes out, by a seeded `random.Random`.

Damage that knows a file's format is in `sizes.py` (absurd dimensions) and `bombs.py` (little that claims to be much).
"""

import random
import struct
from collections.abc import Callable

HEADER_BYTES = 4096
"""Where a file says what it is."""

EXTREMES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF)
"""Values of a 32-bit field that arithmetic trips over."""

Mutator = Callable[[bytes, random.Random, bytes], bytes]
"""(file, randomness, another file to splice with) -> damaged file."""


def few_flips(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One to eight bits turned over."""
    return _flip(data, rng, rng.randint(1, 8))


def many_flips(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Up to one bit in a hundred bytes turned over, sixteen at least."""
    return _flip(data, rng, rng.randint(16, max(16, len(data) // 100)))


def zeroed_run(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A run of zeros, as of a block that a disk lost."""
    start, stop = _span(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def random_run(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A run of random bytes."""
    start, stop = _span(data, rng)
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


def cut_head(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The beginning is missing."""
    return data[rng.randint(1, max(1, len(data) // 2)) :]


def cut_middle(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A part in the middle is missing, and the rest has moved up."""
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def cut_tail(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def spliced(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def joined(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Two whole files, one behind the other."""
    return data + other


def header_damage(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Up to twenty random bytes where the file says what it is, none of them its first four."""
    damaged = bytearray(data)
    last = min(len(data), HEADER_BYTES) - 1
    for _ in range(rng.randint(1, 20)):
        damaged[rng.randint(min(4, last), last)] = rng.randrange(256)
    return bytes(damaged)


def repeated_part(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A part comes two to five times."""
    start, stop = _span(data, rng)
    return data[:stop] + data[start:stop] * rng.randint(1, 4) + data[stop:]


def swapped_parts(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Two neighbouring parts in the other order."""
    a, b, c = sorted(rng.randint(0, len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def extreme_fields(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One to four 32-bit fields, mostly of the header, of either byte order, hold the greatest or least value."""
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        reach = min(len(data), HEADER_BYTES) if rng.random() < 0.7 else len(data)
        at = rng.randint(0, max(0, reach - 4))
        form = rng.choice("<>") + "I"
        damaged[at : at + 4] = struct.pack(form, rng.choice(EXTREMES))
    return bytes(damaged)


def garbage_between(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One to five pieces of garbage between what was there, as from a bad line."""
    for _ in range(rng.randint(1, 5)):
        at = rng.randint(0, len(data))
        data = data[:at] + rng.randbytes(rng.randint(1, 2048)) + data[at:]
    return data


def empty(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Nothing at all."""
    return b""


def text(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A text under the file's name."""
    return b"Not what its name says.\n" * rng.randint(1, 400)


def noise(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Random bytes behind the first sixteen."""
    return data[:16] + rng.randbytes(len(data))


MUTATORS: dict[str, Mutator] = {
    "few flips": few_flips,
    "many flips": many_flips,
    "zeroed run": zeroed_run,
    "random run": random_run,
    "cut head": cut_head,
    "cut middle": cut_middle,
    "cut tail": cut_tail,
    "spliced": spliced,
    "joined": joined,
    "header damage": header_damage,
    "repeated part": repeated_part,
    "swapped parts": swapped_parts,
    "extreme fields": extreme_fields,
    "garbage between": garbage_between,
    "empty": empty,
    "text": text,
    "noise": noise,
}
"""By the name that recipes and tables use."""


def _flip(data: bytes, rng: random.Random, count: int) -> bytes:
    damaged = bytearray(data)
    for bit in rng.sample(range(8 * len(data)), min(count, 8 * len(data))):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Start and stop of a part: from one byte to a quarter of the file."""
    length = rng.randint(1, max(1, len(data) // 4))
    start = rng.randint(0, len(data) - length)
    return start, start + length
