import dataclasses
import json

from benchmark.results import RESULT

from streamseg.benchmark import records
from streamseg.benchmark.records import Result


def test_the_json_is_the_attributes() -> None:
    values = json.loads(json.dumps(RESULT.to_json(), allow_nan=False))
    assert list(values) == [field.name for field in dataclasses.fields(Result)]
    assert values["end_to_end"][0]["programs"][5]["network_size"] == [33, 49]
    assert values["network"][0]["rows"][0]["of_ceiling"]["median"] == 0.8
    assert values["latest"][0]["dropped_by_cause"] == {"busy": 5, "stale": 1}
    assert values["skipped"] == [{"what": "torch bf16", "reason": "no such units"}]


def test_every_key_of_the_json_is_explained() -> None:
    assert records.__doc__ is not None
    for field in dataclasses.fields(Result):
        assert f'"{field.name}"' in records.__doc__
