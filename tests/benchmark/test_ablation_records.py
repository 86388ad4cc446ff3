from typing import Any

import pytest

from streamseg.benchmark.ablation_records import AblationRun, Ablations
from streamseg.benchmark.ablation_table import markdown


def run(variant: str, drive: str, seed: int, miou: float, **changes: Any) -> AblationRun:
    values: dict[str, Any] = {
        "variant": variant, "hold_out": drive, "seed": seed, "epochs": 30,
        "trained_on": "camvid train, 9 images", "scored_on": f"camvid train {drive}, 5 images",
        "miou": miou, "pixel_accuracy": 0.9, "iou": {"pole": miou / 2, "bicyclist": None},
        "minutes": 10.0, "processor_minutes": 18.0, "threads": 2, "torch": "2", "date": "2026-01-02",
        "recipe": "Recipe()",
    }  # fmt: skip
    return AblationRun(**{**values, **changes})


FOUND = Ablations(
    streamseg="1.2.3",
    date="2026-01-02",
    command="scripts/ablate --epochs 30",
    python="3.11.7",
    load_average=0.5,
    machine={
        "processor": "Some CPU", "cores": 2, "bf16": ["avx512_bf16"], "packages": {"numpy": "2.0"},
        "system": "Linux",
    },
    runs=(
        run("baseline", "a", 0, 0.40),
        run("paste", "a", 0, 0.44, iou={"pole": 0.3, "bicyclist": 0.5}),
        run("light", "a", 0, 0.39),
        run("baseline", "a", 1, 0.42),
        run("paste", "a", 1, 0.44),
        run("paste", "a", 2, 0.50),
        run("baseline", "b", 0, 0.30),
        run("paste", "b", 0, 0.33),
    ),
)  # fmt: skip


def test_differences_are_to_the_baseline_of_the_same_drive_and_seed() -> None:
    baseline, paste, light = FOUND.rows("a")
    assert (baseline.miou, baseline.over_baseline) == (pytest.approx(0.41), None)
    assert (paste.runs, paste.miou) == (3, pytest.approx(0.46))
    assert paste.over_baseline == pytest.approx(0.03)  # seed 2 has no baseline
    assert light.over_baseline == pytest.approx(-0.01)
    assert baseline.scatter == pytest.approx(0.0141, abs=1e-4)
    assert light.scatter is None


def test_over_all_drives_only_variants_that_were_run_on_all() -> None:
    baseline, paste = FOUND.rows()
    assert baseline.miou == pytest.approx((0.40 + 0.42 + 0.30) / 3)
    assert paste.over_baseline == pytest.approx((0.04 + 0.02 + 0.03) / 3)
    assert paste.scatter is None


def test_classes_without_a_value_are_left_out_of_the_mean() -> None:
    baseline, paste, _ = FOUND.rows("a")
    assert baseline.iou == {"pole": pytest.approx(0.205), "bicyclist": None}
    assert paste.iou == {"pole": pytest.approx((0.3 + 0.22 + 0.25) / 3), "bicyclist": 0.5}


def test_without_a_baseline_nothing_is_compared() -> None:
    alone = Ablations(**{**_fields(FOUND), "runs": (run("paste", "a", 0, 0.4),)})
    assert alone.rows("a")[0].over_baseline is None
    assert "all" not in alone.to_json()["rows"]


def _fields(found: Ablations) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_the_table_shows_what_there_is() -> None:
    text = markdown(FOUND)
    assert "Some CPU, 2 cores (avx512_bf16), load 0.5 at the start, 2026-01-02" in text
    assert "`scripts/ablate --epochs 30`" in text
    assert (
        "| paste | 3 | 0.4600 | 0.0346 | +0.0300 | 0.257 |  |  |  | 0.500 | 10.0 | 18.0 |" in text
    )
    assert "| baseline | 1 | 0.3000 |  |  | 0.150 |" in text
    assert text.index("All 2 drives") < text.index("a held out") < text.index("b held out")
    assert "- paste: one to four rare things" in text
    assert "- camera" not in text


def test_json_holds_rows_by_drive() -> None:
    assert list(FOUND.to_json()["rows"]) == ["a", "b", "all"]
