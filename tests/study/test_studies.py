from importlib import import_module
from pathlib import Path

import pytest

from streamseg.study.session import StudySession
from streamseg.study.studies import STUDIES, run_study
from streamseg.study.table import PAPERS


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_run_by_its_name(name: str) -> None:
    assert callable(import_module(STUDIES[name].module).run)
    assert STUDIES[name].summary
    assert STUDIES[name].paper in PAPERS


def test_an_unknown_study_is_refused(session: StudySession) -> None:
    with pytest.raises(ValueError, match="unknown study 'x'; known: cascade, region-size"):
        run_study("x", session, "")


def test_a_study_that_trains_everything_takes_no_model(session: StudySession) -> None:
    session.model = Path("mine.safetensors")
    with pytest.raises(ValueError, match="downsampling trains all its networks; drop --model"):
        run_study("downsampling", session, "")
