"""Converted graphs on disk: used when whole and equal, made anew otherwise, never in the way."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from pictures import packed

from streamseg.engine import graph_cache
from streamseg.engine.graph_cache import cache_folder, cached
from streamseg.errors import ModelError

CORE = ov.Core()


class Maker:
    """Makes a graph that multiplies by `factors`, and counts how often it was asked to."""

    def __init__(self, factor: float = 3.0, size: int = 1000) -> None:
        self.factors = np.full(size, factor, np.float32)
        self.calls = 0

    def __call__(self) -> ov.Model:
        self.calls += 1
        x = ops.parameter([self.factors.size], np.float32, name="x")
        return ov.Model([ops.multiply(x, ops.constant(self.factors))], [x], "graph")


def answer(graph: ov.Model) -> float:
    compiled = CORE.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return float(compiled([np.full(graph.inputs[0].shape, 2, np.float32)])[0].sum())


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_second_time_the_graph_comes_from_disk(cache):
    make = Maker()
    first, second = (cached(CORE, ("a", 1), make) for _ in range(2))
    assert make.calls == 1
    assert answer(first) == answer(second) == 6000
    assert [file.suffix for file in files(cache)] == [".graph"]


def test_other_ingredients_other_graph(cache):
    assert answer(cached(CORE, ("a", 1), Maker(3))) == 6000
    assert answer(cached(CORE, ("a", 2), Maker(5))) == 10000
    assert len(files(cache)) == 2


def test_other_code_other_graph(cache, monkeypatch):
    cached(CORE, ("a",), Maker())
    monkeypatch.setattr(graph_cache, "_code", lambda: b"edited")
    again = Maker()
    cached(CORE, ("a",), again)
    assert again.calls == 1


def test_code_is_that_of_networks_entry_and_colors():
    code = graph_cache._code()
    for text in (b"class ICNet", b"class PlanarEntry", b"def ycbcr_to_rgb", b"def resize"):
        assert text in code


@pytest.mark.parametrize(
    "damage",
    ["empty", "short", "longer", "one bit", "digest", "garbage", "sealed stub", "sealed nonsense"],
)
def test_damaged_file_is_ignored_and_rewritten(cache, damage):
    cached(CORE, ("a",), Maker())
    (file,) = files(cache)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[5 if damage == "digest" else -100] ^= 1
    nonsense = (8).to_bytes(8, "little") + b"x" * 100
    contents = {
        "empty": b"",
        "short": whole[:-1],
        "longer": whole + b"\0",
        "one bit": bytes(flipped),
        "digest": bytes(flipped),
        "garbage": b"x" * 1000,
        "sealed stub": graph_cache._digest(b"x") + b"x",
        "sealed nonsense": graph_cache._digest(nonsense) + nonsense,
    }
    file.write_bytes(contents[damage])
    again = Maker()
    assert answer(cached(CORE, ("a",), again)) == 6000
    assert again.calls == 1
    assert files(cache) == [file]
    assert answer(cached(CORE, ("a",), again)) == 6000
    assert again.calls == 1  # from disk


def test_off_means_off(cache, monkeypatch):
    monkeypatch.setenv("STREAMSEG_CACHE", "off")
    make = Maker()
    for _ in range(2):
        cached(CORE, ("a",), make)
    assert make.calls == 2
    assert files(cache) == []


def test_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/streamseg")
    for ignored in ("", "relative/path"):  # as the XDG specification has it
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == tmp_path / ".cache" / "streamseg"
    monkeypatch.setenv("STREAMSEG_CACHE", "off")
    assert cache_folder() is None


def test_homeless_user_has_no_cache(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() is None


def test_folder_that_cannot_be_made_is_no_error(cache):
    cache.parent.write_text("a file where the folder should be")
    make = Maker()
    for _ in range(2):
        assert answer(cached(CORE, ("a",), make)) == 6000
    assert make.calls == 2


def test_failed_write_leaves_nothing_behind(cache, monkeypatch):
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert answer(cached(CORE, ("a",), Maker())) == 6000
    assert files(cache) == []


def test_least_recently_used_goes_first(cache, monkeypatch):
    makers = {name: Maker(size=10_000) for name in "abc"}
    for age, name in zip((300, 200), "ab", strict=True):
        before = set(files(cache))
        cached(CORE, (name,), makers[name])
        (new,) = set(files(cache)) - before
        os.utime(new, (1e9 - age, 1e9 - age))
    cached(CORE, ("a",), makers["a"])  # read: now the newer of the two
    monkeypatch.setattr(graph_cache, "KEEP_BYTES", 100_000)  # two of 40 kB
    cached(CORE, ("c",), makers["c"])
    assert len(files(cache)) == 2
    for name in "ca":
        cached(CORE, (name,), makers[name])
    assert {name: maker.calls for name, maker in makers.items()} == {"a": 1, "b": 1, "c": 1}
    cached(CORE, ("b",), makers["b"])
    assert makers["b"].calls == 2


def test_only_the_owner_may_read_the_folder(cache):
    cached(CORE, ("a",), Maker())
    assert cache.stat().st_mode & 0o077 == 0


def test_engine_starts_without_torch_and_answers_the_same(cache, opened, tiny, tmp_path):
    picture = packed(50, 70)
    engine = opened(tiny)
    expected = engine.infer(engine.prepare(picture)).scores
    assert len(files(cache)) == 1
    np.save(tmp_path / "picture.npy", picture.pixels)
    script = f"""
import sys
import numpy as np
from streamseg.engine.choose import open_engine
from streamseg.picture.pixels import Packed
from streamseg.models.find import find_model
engine = open_engine(find_model({str(tiny.path)!r}), device="cpu", precision="fp32")
picture = Packed(pixels=np.load({str(tmp_path / "picture.npy")!r}))
np.save({str(tmp_path / "scores.npy")!r}, engine.infer(engine.prepare(picture)).scores)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), expected)


def test_other_weights_are_another_graph(cache, opened, tiny, tmp_path):
    """The same path with other contents: what a training run leaves every epoch."""
    from safetensors.torch import load_file

    from streamseg.models.find import find_model
    from streamseg.models.weights import save_weights

    path = tmp_path / "net.safetensors"
    scores = []
    for factor in (1, 2):
        state = load_file(tiny.path)
        save_weights(
            path, {**state, "classify.weight": state["classify.weight"] * factor}, tiny.card
        )
        engine = opened(find_model(path))
        scores.append(engine.infer(engine.prepare(packed(50, 70))).scores)
    np.testing.assert_allclose(scores[1], 2 * scores[0], rtol=1e-3, atol=1e-3)


def test_weights_replaced_after_opening_are_refused(cache, opened, tiny, tmp_path):
    """Else their graph would be kept under the digest of the old ones."""
    from safetensors.torch import load_file

    from streamseg.models.find import find_model
    from streamseg.models.weights import save_weights

    path = tmp_path / "net.safetensors"
    path.write_bytes(tiny.path.read_bytes())
    engine = opened(find_model(path))
    state = load_file(tiny.path)
    save_weights(path, {**state, "classify.weight": state["classify.weight"] * 2}, tiny.card)
    with pytest.raises(
        ModelError, match=r"net\.safetensors was replaced after it was opened; load it again"
    ):
        engine.infer(engine.prepare(packed(50, 70)))
