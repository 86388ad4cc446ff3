import json
from pathlib import Path

import pytest
from model_files import write_model

from streamseg.errors import BackendError
from streamseg.study import memory
from streamseg.study.memory import main, measure_memory


@pytest.mark.slow
def test_a_process_of_its_own_says_what_a_network_takes(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.safetensors")
    found = measure_memory(model, (97, 129), branch=None, device="cpu", precision="fp32")
    assert found is not None
    assert found.size == (97, 129)
    assert 0 < found.network_mb < found.process_mb


@pytest.mark.slow
def test_a_process_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"memory of no.safetensors failed: .*there is none"):
        measure_memory(
            tmp_path / "no.safetensors", (97, 129), branch=None, device="cpu", precision="fp32"
        )


def test_a_system_that_does_not_say_has_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "forget_peak", lambda: False)
    model = write_model(tmp_path / "tiny.safetensors")
    assert main([str(model), "--size", "97x129", "--precision", "fp32"]) == 0
    assert json.loads(capsys.readouterr().out) == {"network_mb": None, "process_mb": None}
