from dataclasses import replace
from pathlib import Path

import pytest
from benchmark.conftest import TINY

from streamseg.benchmark.run import benchmark
from streamseg.errors import ModelError, SourceError


@pytest.mark.usefixtures("stand_ins")
def test_every_section_is_measured_at_its_sizes(clip: Path) -> None:
    told: list[str] = []
    result = benchmark(clip, plan=replace(TINY, rounds=1), command="this", progress=told.append)
    assert [one.size for one in result.network] == [(33, 65), (65, 97)]
    assert [one.video_size for one in result.end_to_end] == [(48, 64), (64, 96)]
    assert [one.network_size for one in result.stages] == [(64, 96), (33, 65)]
    assert result.paint is not None
    assert result.paint.size == (64, 96)
    assert [one.keyframe for one in result.latest] == ["off", "adaptive"]
    assert result.accuracy == ()
    assert "accuracy" in [one.what for one in result.skipped]
    assert (result.command, result.video, result.model) == ("this", "street.mp4", "icnet-camvid")
    assert {"processor", "cores", "bf16", "packages", "system"} == set(result.machine)
    assert "supervision" in result.machine["packages"]
    assert told


@pytest.mark.usefixtures("stand_ins")
def test_only_what_was_asked_for_is_measured(clip: Path) -> None:
    result = benchmark(clip, plan=replace(TINY, sections=("paint",)))
    assert result.paint is not None
    assert (result.network, result.end_to_end, result.stages, result.latest) == ((), (), (), ())
    assert result.skipped == ()


def test_mistakes_are_told_before_anything_is_measured(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(SourceError, match="expected a video file"):
        benchmark(tmp_path / "no.mp4")
    network = tmp_path / "any.onnx"
    network.write_bytes(b"")
    network.with_suffix(".json").write_text(
        '{"classes": ["a", "b"], "input": {"size": [32, 32], "color": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1]}}'
    )
    with pytest.raises(ModelError, match=r"cannot take any\.onnx"):
        benchmark(clip, model=str(network))
