"""The GPU's check as far as it goes without one: its arithmetic, its files, and the pipeline on a CPU's engine."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from camvid_writer import street, write_camvid
from late_lanes import HostPainter, LateLanes
from media import write_clip
from model_files import write_model

from streamseg.benchmark import gpu_check
from streamseg.benchmark.gpu_check import Check, Goal, agreement
from streamseg.benchmark.gpu_race import Race
from streamseg.benchmark.gpu_speed import (
    FileToFile,
    Forward,
    activation_bytes,
    decoded,
    file_to_file,
    overlap,
    throughput,
)
from streamseg.datasets import open_dataset
from streamseg.engine.cuda_engine import CudaEngine
from streamseg.engine.engine import EngineInfo
from streamseg.labels import CAMVID
from streamseg.machine import examine
from streamseg.models.find import find_model
from streamseg.segmenter import load


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.safetensors")


def test_overlap_counts_time_and_not_kernels() -> None:
    kernels = [(0, 2), (1, 3), (8, 9), (8.5, 8.75)]
    assert overlap([(0, 4)], kernels) == 3 / 4
    assert overlap([(5, 7)], kernels) == 0
    assert overlap([(2, 4), (8, 9)], kernels) == 2 / 3
    assert overlap([], kernels) == 0


def test_every_activation_of_a_convolution_is_counted() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 1)
    )
    expected = 3 * 16 * 32 + 8 * 8 * 16 + 8 * 8 * 16 + 4 * 8 * 16
    assert activation_bytes(network, (16, 32), 2) == 2 * expected


def test_the_greater_floor_counts() -> None:
    found = Forward(batch=1, compiled=False, milliseconds=0.5, arithmetic_ms=0.1, memory_ms=0.2)
    assert found.of_floor == pytest.approx(0.4)
    assert FileToFile(decode=100, encode=50, whole=48).of_slowest == pytest.approx(0.96)


@pytest.mark.parametrize("policy", ["every", "alone"])
def test_frames_in_memory_go_through_the_whole_pipeline(
    model: Path, tmp_path: Path, policy: str, one_thread: None
) -> None:
    frames = decoded(write_clip(tmp_path / "in.mp4", num_frames=6, size=(64, 96)), 4)
    assert len(frames) == 4
    info = EngineInfo(backend="torch", device="cuda:0", precision="fp32")
    lanes: Any = LateLanes()
    engine = CudaEngine(find_model(model), info, (65, 97), lanes=lanes, painter=HostPainter)
    found = throughput(engine, CAMVID, frames, 11, policy=policy)
    engine.close()
    assert (found.frames, found.size, found.policy) == (11, (64, 96), policy)
    assert found.frames_per_second > 0
    assert 0 < found.latency_ms["p50"] <= found.latency_ms["p99"]
    assert found.grown_mb == 0
    if policy == "alone":
        assert set(lanes.launches) == {1}


def test_file_to_file_writes_and_measures_three_ways(model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", num_frames=6, size=(64, 96))
    with load(model, backend="torch", device="cpu", size=(65, 97)) as segmenter:
        found = file_to_file(segmenter, clip, tmp_path)
    assert min(found.decode, found.encode, found.whole) > 0
    assert (tmp_path / "whole.mp4").exists()


def test_agreement_of_a_network_with_itself(model: Path, tmp_path: Path) -> None:
    write_camvid(tmp_path / "data", "val", [street(seed) for seed in range(2)])
    dataset = open_dataset(tmp_path / "data", "val")
    with load(model, backend="torch", device="cpu", precision="fp32", size=(65, 97)) as one:
        found = agreement(one, one, dataset, "fp32")
    assert (found.frames, found.same) == (2, 1.0)
    assert found.miou_cpu == found.miou_gpu


def test_results_are_kept_section_by_section(tmp_path: Path) -> None:
    check = Check(
        json_path=tmp_path / "gpu.json", markdown_path=tmp_path / "gpu.md", machine=examine()
    )
    race = Race(pictures=4, wrong_with_guard=0, wrong_without_guard=3)
    check.add("race", race, Goal(text="no race", measured="0 and 3 of 4", reached=True))
    check.add("more", [race, race], Goal(text="speed", measured="1 ms", reached=False))
    values = json.loads((tmp_path / "gpu.json").read_text())
    assert values["race"]["wrong_without_guard"] == 3
    assert len(values["more"]) == 2
    assert [goal["reached"] for goal in values["goals"]] == [True, False]
    text = (tmp_path / "gpu.md").read_text()
    assert "| no race | 0 and 3 of 4 | yes |" in text
    assert "| speed | 1 ms | **no** |" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_gpu_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--json", str(tmp_path / "a"), "--markdown", str(tmp_path / "b")]
    assert gpu_check.main(paths) == 1
    assert capsys.readouterr().err == "expected a CUDA device; torch sees none\n"
