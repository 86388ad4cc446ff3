import json
from pathlib import Path

import pytest

from streamseg.errors import ModelError, SinkError
from streamseg.study.kept import Kept, write_text
from streamseg.study.records import Memory

FOUND = Memory(size=(65, 97), network_mb=1.5, process_mb=9.0)


def refuse() -> Memory:
    raise AssertionError("expected it to be looked up")


def test_what_was_measured_is_looked_up_by_all_that_decides_it(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    assert Kept(path).get(("a", (1, 2)), Memory, lambda: FOUND) == FOUND
    again = Kept(path)
    assert again.get(("a", (1, 2)), Memory, refuse) == FOUND
    with pytest.raises(AssertionError, match="looked up"):
        again.get(("a", (1, 3)), Memory, refuse)


def test_records_of_an_older_version_are_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps({"Memory ('a',)": {"size": [65, 97]}}))
    assert Kept(path).get(("a",), Memory, lambda: FOUND) == FOUND


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    path.write_text("{")
    with pytest.raises(ModelError, match="Delete it to measure anew"):
        Kept(path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot write"):
        write_text(tmp_path / "file" / "x.json", "")
