from pathlib import Path

import pytest
from media import write_clip

from streamseg.errors import SourceError
from streamseg.reading.read_labels import read_labels


def test_an_overlay_is_not_taken_for_label_maps(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    with pytest.raises(SourceError, match=r"8-bit gray label maps in .*got yuv420p; is it an over"):
        next(read_labels(path))


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.mkv").write_text("no video")
    with pytest.raises(SourceError, match=r"expected label maps in .*a.mkv: No such file"):
        next(read_labels(tmp_path / "a.mkv"))
    with pytest.raises(SourceError, match=r"expected label maps in .*b.mkv: Invalid data"):
        next(read_labels(tmp_path / "b.mkv"))
