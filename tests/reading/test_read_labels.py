"""What `read_labels` takes and what it refuses. That it gives back what was written: tests/writing."""

import io
import pickle
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from fakes import FakeSource
from media import write_clip
from numpy.typing import NDArray

from streamseg.errors import SourceError
from streamseg.frames import Painted
from streamseg.labels import CAMVID
from streamseg.reading.read_labels import read_labels
from streamseg.writing.sink import LABEL_FORMS, FileSink, LabelForm, Outputs

SIZE = (12, 16)


def write(tmp_path: Path, form: LabelForm, maps: list[NDArray[np.uint8]]) -> Path:
    source = FakeSource(len(maps), size=SIZE)
    outputs = Outputs(path=tmp_path / "a.mp4", save=("labels",), labels_as=form)
    sink = FileSink(outputs, source, CAMVID)
    for frame, labels in zip(source, maps, strict=True):
        sink.process(Painted(frame=frame, labels=labels))
    sink.close()
    return sink.files["labels"]


def blocks(rng: np.random.Generator, num_maps: int) -> list[NDArray[np.uint8]]:
    return [
        np.kron(rng.integers(0, 11, (3, 4), np.uint8), np.ones((4, 4), np.uint8))
        for _ in range(num_maps)
    ]


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_maps_come_one_at_a_time_and_may_be_changed(
    form: LabelForm, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = blocks(rng, 3)
    for labels, wanted in zip(read_labels(write(tmp_path, form, maps)), maps, strict=True):
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, wanted)
        labels[:] = 0


# ---- files of others


def test_a_folder_without_index_is_read_by_number(tmp_path: Path, rng: np.random.Generator) -> None:
    for name, value in (("m10.png", 3), ("m9.png", 2), ("m1.png", 1)):
        cv2.imwrite(str(tmp_path / name), np.full(SIZE, value, np.uint8))
    (tmp_path / "readme.txt").touch()
    assert [int(labels[0, 0]) for labels in read_labels(tmp_path)] == [1, 2, 3]


def test_a_folder_with_index_is_read_by_it(tmp_path: Path) -> None:
    for name, value in (("a.png", 1), ("b.png", 2), ("c.png", 3)):
        cv2.imwrite(str(tmp_path / name), np.full(SIZE, value, np.uint8))
    (tmp_path / "frames.csv").write_text("pts,file\n0,c.png\n1,a.png\n")
    assert [int(labels[0, 0]) for labels in read_labels(tmp_path)] == [3, 1]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_one_image_of_class_ids_is_a_label_map(
    suffix: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    wanted = rng.integers(0, 256, (31, 17), np.uint8)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), wanted)
    (labels,) = read_labels(tmp_path / f"a{suffix}")
    assert np.array_equal(labels, wanted)


def test_arrays_that_numpy_saved_are_label_maps(tmp_path: Path, rng: np.random.Generator) -> None:
    maps = [rng.integers(0, 256, (9, 7), np.uint8) for _ in range(12)]
    np.savez(tmp_path / "a.npz", **{str(index): labels for index, labels in enumerate(maps)})
    got = list(read_labels(tmp_path / "a.npz"))
    assert len(got) == 12
    assert all(map(np.array_equal, got, maps))


def test_a_video_of_another_lossless_encoder_will_do(tmp_path: Path) -> None:
    wanted = np.arange(192, dtype=np.uint8).reshape(SIZE)
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("ffv1", rate=25, options={"level": "1"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "gray"
        frame = av.VideoFrame.from_ndarray(wanted, "gray")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux([*stream.encode(frame), *stream.encode(None)])
    (labels,) = read_labels(tmp_path / "a.avi")
    assert np.array_equal(labels, wanted)


# ---- what is refused

Make = Callable[[Path], object]


def npz(name: str = "a.npz", **members: bytes) -> Make:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, data in members.items():
                archive.writestr(f"{key.removeprefix('m')}.npy", data)

    return make


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def claims(shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """An array whose header says more than it holds."""
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + data


def header(text: str) -> bytes:
    raw = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw


def image(name: str, array: NDArray[Any]) -> Make:
    return lambda folder: cv2.imwrite(str(folder / name), array)


def index(text: str) -> Make:
    def make(folder: Path) -> None:
        (folder / "a").mkdir()
        cv2.imwrite(str(folder / "a" / "0.png"), np.zeros(SIZE, np.uint8))
        (folder / "a" / "frames.csv").write_text(text)

    return make


def lzma(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("0.npy", npy(np.zeros(SIZE, np.uint8)))


def gif(folder: Path) -> None:
    with av.open(str(folder / "a.gif"), "w") as container:
        stream = container.add_stream("gif", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "rgb8"
        frame = av.VideoFrame(SIZE[1], SIZE[0], "rgb8")
        container.mux([*stream.encode(frame), *stream.encode(None)])


LABELS = np.zeros(SIZE, np.uint8)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.mkv", lambda folder: None, r"expected label maps in .*a\.mkv: No such file"),
        ("a.npz", lambda folder: None, r"expected label maps in .*a\.npz: No such file"),
        ("a.png", lambda folder: None, r"expected label maps in .*a\.png: No such file"),
        ("a", lambda folder: None, r"expected label maps in .*a: No such file"),
        ("a.mkv", lambda folder: (folder / "a.mkv").write_text("no"), r"in .*a\.mkv: Invalid data"),
        ("a.npz", lambda folder: (folder / "a.npz").write_text("no"), "damaged: File is not a zip"),
        ("a.png", lambda folder: (folder / "a.png").write_text("no"), r"a\.png; it is no PNG"),
        ("a", lambda folder: (folder / "a").mkdir(), r"expected label maps \(.png\) in .*found none"),
        # pictures
        ("a.mp4", lambda f: write_clip(f / "a.mp4"), "8-bit gray .* got yuv420p; is it an over"),
        ("a.gif", gif, "8-bit gray label maps in .*got bgra; is it an overlay"),
        ("a.png", image("a.png", np.zeros((4, 4, 3), np.uint8)), "got rgb24; is it an overlay"),
        ("a.png", image("a.png", np.zeros((4, 4), np.uint16)), "8-bit gray .*, got gray16be"),
        # folders
        ("a", index("file\n"), r"expected label maps \(.png\) in .*found none"),
        ("a", index("name\n0.png\n"), r"expected a column `file` of names in .*frames\.csv"),
        ("a", index("file\n1.png\n"), r"expected label maps in .*1\.png: No such file"),
        ("a", index("file\n../a.png\n"), r"names without folders in .*got '\.\./a\.png'"),
        ("a", index("file\n/etc/a.png\n"), "names without folders in .*got '/etc/a.png'"),
        ("a", index("file\n..\n"), "Is a directory"),
        ("a", index("pts,file\n0\n"), "names without folders in .*got None"),
        ("a", index("file\n" + 200_000 * "a"), "field larger than field limit"),
        # arrays
        ("a.npz", npz(), "000001 ... in .*; found none"),
        ("a.npz", npz(pts=npy([1])), "000001 ... in .*; found none"),
        ("a.npz", npz(scores=npy(LABELS)), "expected label maps 000000, .* got 'scores'"),
        ("a.npz", npz(m0=npy(LABELS.astype(float))), r"H x W uint8 in .*, got float64 \(12, 16\)"),
        ("a.npz", npz(m0=npy(np.zeros((3, 4, 5), np.uint8))), r"H x W uint8 .* got uint8 \(3, 4, 5\)"),
        ("a.npz", npz(m0=npy(np.asfortranarray(LABELS))), "H x W uint8"),
        ("a.npz", npz(m0=npy(np.array([{}]), allow_pickle=True)), r"H x W uint8 .* got object"),
        ("a.npz", npz(m0=pickle.dumps(LABELS)), "expected a numpy array as '0.npy' of .*magic"),
        ("a.npz", npz(m0=npy(LABELS, version=(2, 0))), "expected a numpy array .* version"),
        ("a.npz", npz(m0=header("[" * 5000)), "expected a numpy array as '0.npy'"),
        ("a.npz", npz(m0=header("{'descr': (")), "expected a numpy array as '0.npy'"),
        ("a.npz", npz(m0=claims((1 << 20, 1 << 20))), "of 1 to 16777216 pixels .*got 1048576x1048576"),
        ("a.npz", npz(m0=claims((-4, -5), bytes(20))), "of 1 to 16777216 pixels .*got -4x-5"),
        ("a.npz", npz(m0=claims((0, 5))), "of 1 to 16777216 pixels .*got 0x5"),
        ("a.npz", npz(m0=claims((4000, 4000), bytes(20))), "expected 4000x4000 bytes .*damaged"),
        ("a.npz", npz(m0=claims((4, 5), bytes(21))), "expected 4x5 bytes .*damaged"),
        ("a.npz", lzma, "it is damaged: '0.npy' is not compressed by deflate"),
    ],
)  # fmt: skip
def test_what_holds_no_label_maps_is_refused_in_one_line(
    name: str, make: Make, message: str, tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(SourceError, match=message) as caught:
        list(read_labels(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_maps_larger_than_allowed_are_refused(
    form: LabelForm, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = write(tmp_path, form, blocks(rng, 1))
    with pytest.raises(SourceError, match=r"of 1 to 191 pixels in .*, got 12x16; .*max_pixels=\)"):
        next(read_labels(path, max_pixels=191))
    assert next(read_labels(path, max_pixels=192)).shape == SIZE


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_a_damaged_file_is_told_and_never_read_wrongly(
    form: LabelForm, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps = blocks(rng, 4)
    path = write(tmp_path, form, maps)
    file = path / "000002.png" if form == "png" else path
    data = file.read_bytes()
    refused = 0
    for round_ in range(150):
        if round_ % 3:
            broken = bytearray(data)
            broken[rng.integers(len(data))] ^= 1 << rng.integers(8)
            file.write_bytes(broken)
        else:
            file.write_bytes(data[: rng.integers(len(data))])
        got = []
        try:
            got.extend(read_labels(path))
            assert len(got) == len(maps)
        except SourceError as error:
            assert "\n" not in str(error)
            refused += 1
        assert all(map(np.array_equal, got, maps))
    assert refused > 60
