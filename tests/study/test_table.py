from dataclasses import replace

from study.study_results import RESULT, TRAINED

from streamseg.study.table import markdown


def test_a_document_says_what_was_measured_and_how() -> None:
    text = markdown(RESULT)
    assert text.startswith("# cascade\n")
    assert "some processor, 2 cores (neither bf16 nor int8 units), load 0.5 at the start" in text
    assert "`streamseg study cascade`; trained on camvid train, 367 images (cpu, bf16" in text
    assert "camvid val is one clip." in text
    assert "**What.**\n\n|  | mIoU | paper: mIoU |\n| --- | ---: | ---: |\n| a | 1 | 2 |" in text
    assert "![cascade.png](cascade.png)" in text
    assert "| icnet | icnet | 0.5 | 3 | 1.5 | 2 | camvid train, 96 images |" in text


def test_the_reduced_schedule_says_that_its_accuracy_means_little() -> None:
    assert "accuracy means little" not in markdown(RESULT)
    assert "accuracy means little" in markdown(replace(RESULT, quick=True))


def test_the_papers_columns_are_said_to_be_of_another_data_set() -> None:
    assert "another data set" in markdown(RESULT)
    own = replace(RESULT.tables[0], head=("", "mIoU", "ms"))
    assert "another data set" not in markdown(replace(RESULT, tables=(own,)))


def test_another_papers_columns_are_not_called_the_icnet_papers() -> None:
    text = markdown(replace(RESULT, study="attention"))
    assert "another data set" in text and "Tao" in text
    assert "Zhao" not in text
    assert "Zhao" in markdown(RESULT)


def test_warnings_stand_above_the_tables() -> None:
    text = markdown(replace(RESULT, warnings=("**icnet has seen it.**",)))
    assert text.index("**icnet has seen it.**") < text.index("**What.**")


def test_a_network_that_was_given_says_so() -> None:
    given = replace(TRAINED, given=True, minutes=None, threads=None)
    text = markdown(replace(RESULT, networks=(given,)))
    assert "| icnet | icnet | 0.5 | 3 |  |  | given: camvid train, 96 images |" in text


def test_json_holds_numbers_and_no_tables() -> None:
    values = RESULT.to_json()
    assert values["networks"][0]["name"] == "icnet"
    assert "tables" not in values
