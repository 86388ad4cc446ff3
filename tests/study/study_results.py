"""A study's result with round numbers."""

from streamseg.study.records import StudyResult, Table, Trained

TRAINED = Trained(
    name="icnet",
    architecture="icnet",
    width=0.5,
    epochs=3,
    minutes=1.5,
    trained_on="camvid train, 96 images",
    threads=2,
)

RESULT = StudyResult(
    study="cascade",
    streamseg="0.1",
    date="2026-11-01",
    command="streamseg study cascade",
    python="3.11",
    load_average=0.5,
    machine={
        "processor": "some processor", "cores": 2, "bf16": [], "packages": {"torch": "2.13"},
        "system": "some system",
    },
    quick=False,
    device="cpu",
    precision="bf16 autocast",
    seed=0,
    trained_on="camvid train, 367 images",
    scored_on="camvid val, 101 images",
    caveat="one clip",
    networks=(TRAINED,),
    rows=(TRAINED,),
    tables=(Table(text="**What.**", head=("", "mIoU", "paper: mIoU"), rows=(("a", "1", "2"),)),),
    pictures=("cascade.png",),
)  # fmt: skip
