"""CamVid's validation split, scored at its own size: speed says nothing without it."""

from streamseg.benchmark.baselines import Script, baseline_networks
from streamseg.benchmark.records import Accuracy
from streamseg.benchmark.session import PRECISIONS, Session, network_name
from streamseg.datasets import LabelledImages, open_dataset
from streamseg.errors import DataError
from streamseg.evaluation.confusion import Confusion
from streamseg.evaluation.evaluate import evaluate
from streamseg.segmenter import Segmenter

SPLIT = "val"


def accuracy(session: Session) -> tuple[Accuracy, ...]:
    """Scores of every precision, and of the networks as published that the baselines run."""
    try:
        if session.data is None:
            raise DataError(
                "no data set; STREAMSEG_DATA or --data names a folder with camvid/ in it"
            )
        dataset = open_dataset(session.data, SPLIT)
        ours = [_ours(session, dataset, precision) for precision in PRECISIONS]
    except DataError as error:
        session.skip("accuracy", str(error))
        return ()
    plain = [_published(session, dataset, *way) for way in baseline_networks().values()]
    return tuple(row for row in [*ours, *plain] if row is not None)


def _ours(session: Session, dataset: LabelledImages, precision: str) -> Accuracy | None:
    with session.engine("openvino", precision, "auto") as engine:
        if engine is None:
            return None
        name = network_name("openvino", precision)
        scores = evaluate(
            Segmenter(engine, engine.card.labels),
            dataset,
            limit=session.plan.images,
            progress=lambda done, total: session.progress(
                f"{name} on {dataset.name} ({done}/{total})"
            ),
        )
    return Accuracy(
        name=name,
        backend="openvino",
        precision=precision,
        form="streamseg",
        dataset=dataset.name,
        split=dataset.split,
        images=scores["frames"],
        of_images=len(dataset),
        network_size=(scores["size"][0], scores["size"][1]),
        miou=scores["miou"],
        pixel_accuracy=scores["pixel_accuracy"],
    )


def _published(session: Session, dataset: LabelledImages, backend: str, precision: str) -> Accuracy:
    name = network_name(backend, precision, "published")
    total = min(session.plan.images or len(dataset), len(dataset))
    height, width = dataset.load(0)[1].shape
    size = session.model.card.input.size_for(height, width)
    script = Script(session.published(backend, precision, size), session.model.card, size)
    confusion = Confusion(len(dataset.labels))
    for index in range(total):
        image, truth = dataset.load(index)
        confusion.add(truth, script.labels(image))
        session.progress(f"{name} on {dataset.name} ({index + 1}/{total})")
    return Accuracy(
        name=name,
        backend=backend,
        precision=precision,
        form="published",
        dataset=dataset.name,
        split=dataset.split,
        images=total,
        of_images=len(dataset),
        network_size=size,
        miou=confusion.miou(),
        pixel_accuracy=confusion.pixel_accuracy(),
    )
