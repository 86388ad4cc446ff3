"""The damage itself: repeatable, of the kind its name says, and really done."""

import io
import random
import struct
import zlib

import av
import numpy as np
import pytest
from fuzz import bombs, mutations
from fuzz.mutations import EXTREMES, HEADER_BYTES, MUTATORS
from fuzz.seeds import Seed, make_seeds
from fuzz.sizes import UnknownFormatError, claim_size

DATA = bytes(range(256)) * 40
OTHER = b"other" * 100


@pytest.fixture(scope="module")
def seeds() -> dict[str, Seed]:
    """The healthy files by name."""
    return {seed.name: seed for seed in make_seeds()}


def damaged(name: str, seed: int = 0, data: bytes = DATA) -> bytes:
    return MUTATORS[name](data, random.Random(seed), OTHER)


@pytest.mark.parametrize("name", MUTATORS)
def test_same_seed_does_the_same_damage(name: str) -> None:
    assert damaged(name, 5) == damaged(name, 5)


@pytest.mark.parametrize("name", MUTATORS)
def test_damage_is_done(name: str) -> None:
    assert all(damaged(name, seed) != DATA for seed in range(10))


@pytest.mark.parametrize("name", sorted(set(MUTATORS) - {"empty", "joined"}))
def test_another_seed_does_other_damage(name: str) -> None:
    assert len({damaged(name, seed) for seed in range(10)}) > 5


@pytest.mark.parametrize("name", MUTATORS)
@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_the_shortest_files_can_be_damaged(name: str, length: int) -> None:
    for seed in range(20):
        assert isinstance(damaged(name, seed, DATA[:length]), bytes)


def test_few_flips_turn_eight_bits_at_most() -> None:
    changed = int.from_bytes(DATA, "big") ^ int.from_bytes(damaged("few flips"), "big")
    assert 1 <= changed.bit_count() <= 8


def test_cuts_keep_what_they_do_not_cut() -> None:
    assert DATA.endswith(damaged("cut head"))
    assert DATA.startswith(damaged("cut tail"))
    middle = damaged("cut middle")
    kept = next(k for k in range(len(DATA)) if k == len(middle) or middle[k] != DATA[k])
    assert DATA.endswith(middle[kept:])


def test_spliced_begins_like_one_file_and_ends_like_the_other() -> None:
    both = damaged("spliced")
    assert both[:1] == DATA[:1]
    assert OTHER.endswith(both[-3:])


def test_header_damage_spares_the_first_four_bytes_and_the_body() -> None:
    for seed in range(20):
        data = damaged("header damage", seed)
        assert data[:4] == DATA[:4]
        assert data[HEADER_BYTES:] == DATA[HEADER_BYTES:]


def test_extreme_fields_hold_extreme_values() -> None:
    data = damaged("extreme fields", 3, b"\x55" * 100)
    fields = {struct.pack(form, value) for form in ("<I", ">I") for value in EXTREMES}
    assert any(field in data for field in fields)


def test_repeated_part_grows_the_file_by_whole_parts() -> None:
    data = mutations.repeated_part(b"abcdefgh", random.Random(1), b"")
    assert len(data) > 8
    assert set(data) == set(b"abcdefgh")


class TestSizes:
    """The format's own size field is written, and a reader believes it."""

    @pytest.mark.parametrize(
        "name", ["ffv1.mkv", "vp9.webm", "mjpeg.avi", "moving.gif", "image.webp", "h264.h264",
                 "image.tiff", "image.png", "image.bmp", "image.ppm"],
    )  # fmt: skip
    def test_readers_believe_the_claim(self, seeds: dict[str, Seed], name: str) -> None:
        data = claim_size(seeds[name].files[name], 320, 160)
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (320, 160)

    def test_mp4_track_claims_it(self, seeds: dict[str, Seed]) -> None:
        data = claim_size(seeds["h264.mp4"].files["h264.mp4"], 30000, 20000)
        assert struct.pack(">II", 30000 << 16, 20000 << 16) in data

    def test_png_checksum_is_mended(self, seeds: dict[str, Seed]) -> None:
        data = claim_size(seeds["image.png"].files["image.png"], 65535, 1)
        assert struct.unpack_from(">I", data, 29)[0] == zlib.crc32(data[12:29])

    def test_values_are_cut_to_the_field(self, seeds: dict[str, Seed]) -> None:
        data = claim_size(seeds["moving.gif"].files["moving.gif"], 0xFFFFFFFF, 1 << 16)
        assert struct.unpack_from("<HH", data, 6) == (65535, 0)

    def test_files_without_a_size_are_told(self) -> None:
        with pytest.raises(UnknownFormatError, match="no size in a file that begins with"):
            claim_size(b"text", 1, 1)


class TestBombs:
    """They are what they seem: valid, and far larger than their files."""

    @pytest.mark.parametrize("count", [0, 1, 1 << 20, (3 << 20) + 17])
    def test_packed_zeros_unpack_to_zeros(self, count: int) -> None:
        assert zlib.decompress(bombs.zlib_zeros(count)) == bytes(count)

    def test_a_hundred_megabytes_take_a_tenth_of_one(self) -> None:
        assert len(bombs.zlib_zeros(100 << 20)) < 110_000

    @pytest.mark.parametrize(("bits", "color"), [(8, 0), (8, 2), (16, 6)])
    def test_png_is_valid(self, bits: int, color: int) -> None:
        with av.open(io.BytesIO(bombs.black_png(50, 30, bits=bits, color=color))) as container:
            frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (50, 30)
        assert not frame.to_ndarray(format="rgb24").any()

    def test_gif_is_valid(self) -> None:
        with av.open(io.BytesIO(bombs.empty_gif(50, 30))) as container:
            assert [(f.width, f.height) for f in container.decode(video=0)] == [(50, 30)] * 3

    def test_npz_is_valid_but_for_its_checksum(self) -> None:
        with np.load(io.BytesIO(bombs.zeros_npz((3, 1 << 20)))) as archive:
            assert archive.zip.getinfo("labels.npy").file_size == (3 << 20) + 128
            assert archive.zip.open("labels.npy").read(6) == b"\x93NUMPY"


@pytest.mark.slow
def test_seeds_are_the_same_every_time(seeds: dict[str, Seed]) -> None:
    again = {seed.name: seed for seed in make_seeds()}
    assert [name for name, seed in seeds.items() if again[name].files != seed.files] == []


def test_seeds_are_small(seeds: dict[str, Seed]) -> None:
    assert max(sum(map(len, seed.files.values())) for seed in seeds.values()) < 300_000
