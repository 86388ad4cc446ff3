import os
import threading

import pytest

from streamseg.reading.pipe import PolledPipe


def test_data_then_the_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        pipe = PolledPipe(file, 5.0)
        os.write(writing, b"abc")
        assert pipe.read(2) == b"ab"
        assert pipe.read(9) == b"c"
        os.close(writing)
        assert pipe.read(9) == b""


@pytest.mark.slow
def test_silence_is_a_timeout_and_stop_is_the_end() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        pipe = PolledPipe(file, 0.2)
        with pytest.raises(TimeoutError, match=r"no data for 0.2 s"):
            pipe.read(1)
        assert pipe.wait_seconds >= 0.2
        patient = PolledPipe(file, 60.0)
        threading.Timer(0.02, patient.stop.set).start()
        assert patient.read(1) == b""
    os.close(writing)
