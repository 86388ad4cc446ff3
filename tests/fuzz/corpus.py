"""Which damaged file is number N of the corpus. The same seed and number give the same file on the same machine
(encoders of other versions make other seeds; that is why failing cases are kept whole).

Every pair of a file and a mutation comes once in a round, in an order drawn by the seed, so that a hundred cases
are spread as evenly as a thousand.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fuzz.hostile import make_hostile
from fuzz.mutations import MUTATORS, Mutator
from fuzz.seeds import Kind, Seed, make_seeds
from fuzz.sizes import UnknownFormatError, absurd_size, claim_size

MOST_DAMAGED = 3
"""Files of a folder that are damaged at once, at most."""

HOSTILE, HEALTHY, ABSURD_SIZE = "hostile", "none", "absurd size"

MODEL = "tiny.safetensors"
"""The healthy network that damaged pictures are given to; lies beside the cases' folders."""

RUN = ("--save", "overlay,labels", "--precision", "fp32", "--report", "report.json", "--quiet")

READ_LABELS = """
import sys, streamseg
try:
    sizes = {labels.shape for labels in streamseg.read_labels(sys.argv[1])}
except streamseg.StreamsegError as error:
    sys.exit(f"streamseg: error: {error}")
"""
"""What is run on label files, as there is no command for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One input and what is done with it.

    Attributes:
        seed, index: make it again: `Corpus(seed).case(index)`.
        file: name of the seed.
        mutation: a name of `MUTATORS`, or one of the three above.
        files: contents by path in the case's folder.
        words: of the command line behind `streamseg`; for label files the arguments of `READ_LABELS`.
    """

    seed: int
    index: int
    kind: Kind
    file: str
    mutation: str
    files: dict[str, bytes]
    words: tuple[str, ...]

    @property
    def out(self) -> str | None:
        """The overlay that the command writes, in the case's folder."""
        return self.words[self.words.index("-o") + 1] if "-o" in self.words else None

    def write(self, folder: Path) -> None:
        """Write its files."""
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def __str__(self) -> str:
        return f"{self.seed}:{self.index} {self.kind} {self.file}, {self.mutation}"


class Corpus:
    """All cases of one seed. Making it takes a few seconds."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.seeds = make_seeds()
        self.hostile = make_hostile(self.seeds)

    @cached_property
    def deck(self) -> list[tuple[Seed, str]]:
        """Every pair of a file and a mutation, in no particular order."""
        pairs = [(seed, name) for seed in self.seeds for name in MUTATORS]
        pairs += [(seed, ABSURD_SIZE) for seed in self.seeds if _has_size(seed)]
        return pairs + [(seed, HOSTILE) for seed in self.hostile]

    def case(self, index: int) -> Case:
        """Case number `index`, from 0."""
        round_, position = divmod(index, len(self.deck))
        order = list(range(len(self.deck)))
        random.Random(f"order {self.seed} {round_}").shuffle(order)
        seed, mutation = self.deck[order[position]]
        rng = random.Random(f"case {self.seed} {index}")
        files = seed.files if mutation == HOSTILE else self._damaged(seed, mutation, rng)
        return self._case(seed, mutation, files, index, rng)

    def healthy_cases(self) -> list[Case]:
        """The seeds as they are."""
        rng = random.Random(f"healthy {self.seed}")
        return [
            self._case(seed, HEALTHY, seed.files, -1 - index, rng)
            for index, seed in enumerate(self.seeds)
            if not seed.refused
        ]

    def shared_files(self) -> dict[str, bytes]:
        """What has to lie beside the cases' folders."""
        return {MODEL: next(seed.files[MODEL] for seed in self.seeds if MODEL in seed.files)}

    def _damaged(self, seed: Seed, mutation: str, rng: random.Random) -> dict[str, bytes]:
        count = min(len(seed.fragile), rng.randint(1, MOST_DAMAGED))
        files = dict(seed.files)
        for name in rng.sample(seed.fragile, count):
            files[name] = self._mutated(files[name], mutation, rng)
        return files

    def _mutated(self, data: bytes, mutation: str, rng: random.Random) -> bytes:
        other = rng.choice(self.seeds)
        mutate: Mutator = absurd_size if mutation == ABSURD_SIZE else MUTATORS[mutation]
        try:
            return mutate(data, rng, other.files[rng.choice(other.fragile)])
        except UnknownFormatError:  # frames.csv among pictures
            return data

    def _case(
        self, seed: Seed, mutation: str, files: dict[str, bytes], index: int, rng: random.Random
    ) -> Case:
        return Case(
            seed=self.seed,
            index=index,
            kind=seed.kind,
            file=seed.name,
            mutation=mutation,
            files=files,
            words=_words(seed, rng),
        )


def _has_size(seed: Seed) -> bool:
    try:
        claim_size(seed.files[seed.fragile[0]], 1, 1)
    except UnknownFormatError:
        return False
    return True


def _words(seed: Seed, rng: random.Random) -> tuple[str, ...]:
    """A command line as users write them. `torch` needs no compiling, and `auto` is what they mostly use."""
    if seed.kind == "labels":
        return (seed.target,)
    out = rng.choice(("out.mp4", "out.mp4", "out.mkv"))
    if seed.kind == "card":
        return ("run", "image.png", "--model", seed.target, "-o", out, *RUN)
    backend = ("--backend", rng.choice(("auto", "torch", "torch")))
    if seed.kind in ("weights", "caffemodel"):
        return ("run", "image.png", "--model", seed.target, "-o", out, *backend, *RUN)
    damaged = ("--on-corrupt", rng.choice(("keep", "keep", "skip", "stop")))
    labels = ("--labels-as", rng.choice(("mkv", "mkv", "png", "npz")))
    size = ("--model", f"../{MODEL}", "--size", "65x97")
    return ("run", seed.target, "-o", out, *size, *backend, *damaged, *labels, *RUN)
