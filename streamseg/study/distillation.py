"""What a greater network can teach ICNet: by labels of frames that nobody labelled, by its logits beside true labels.

Auto-labelling is of Tao, Sapra, Catanzaro 2020, who keep the labels of which their network is sure; soft labels are of
Hinton, Vinyals, Dean 2015. All students see the same views of the same labelled images in the same steps, and begin
alike: what differs is what the teacher adds.
"""

from dataclasses import dataclass, replace

from streamseg.datasets import LabelledImages
from streamseg.errors import ModelError
from streamseg.models.find import find_model
from streamseg.models.registry import by_proposals
from streamseg.study.auto_labels import AutoLabelled, label_frames
from streamseg.study.distillation_table import draw, tables
from streamseg.study.distilled import ALONE, AUTO, BOTH, SOFT, TEACHER, Distilled
from streamseg.study.held_out import warning
from streamseg.study.records import Findings, Network
from streamseg.study.session import StudySession
from streamseg.training.losses import Distillation
from streamseg.training.recipe import Recipe

RECIPE = "icnet-camvid"
TEACHER_RECIPE = "hrnet-ocr-ms-camvid"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Student:
    """A network, how it is to be trained, and what is mixed in."""

    name: str
    recipe: Recipe
    extra: LabelledImages | None = None


def run(session: StudySession) -> Findings:
    """Train the teacher, or take one; label frames by it; train four students; score all five.

    Raises:
        ModelError: the teacher looks at single objects, or the recipe mixes in images already.
        ValueError: the share is less than one image of a batch.
    """
    recipe = session.recipe(session.recipe_name or RECIPE)
    beside(recipe, session.unlabelled.share)  # said now, not after the teacher's training
    teacher = _teacher(session)
    images, labelled = label_frames(session, teacher)
    students = _students(session, recipe, teacher, images)
    networks = {
        row: session.network(student.name, student.recipe, extra=student.extra)
        for row, student in students.items()
    }
    recipes = {row: student.recipe for row, student in students.items()}
    rows = _rows(session, {**networks, TEACHER: teacher}, recipes, labelled)
    picture = session.out / "distillation.png"
    draw(picture, rows, labelled)
    return Findings(
        tables=tables(session, rows, labelled, doubt=_doubt(session, teacher)),
        networks=(teacher.trained, *(network.trained for network in networks.values())),
        rows=(*rows, labelled),
        pictures=(picture,),
    )


def beside(recipe: Recipe, share: float) -> Recipe:
    """`recipe` with extra images beside the real ones of each batch, which stay as many.

    So a step sees the very views that it sees without them, and there are as many steps. (`recipes.mixed_with` keeps
    the size of the batch, and has more steps.)

    Args:
        share: of the greater batch that is extra images, above 0 and below 1; rounded to whole images.

    Raises:
        ModelError: it mixes in others already.
        ValueError: the share is less than one image of a batch, or a stage is of objects.
    """
    if recipe.wants_extra:
        raise ModelError(f"expected a recipe without extra images, {recipe.name} mixes in its own")
    stages = []
    for stage in recipe.stages:
        more = round(share / (1 - share) * stage.batch)
        if not more:
            raise ValueError(
                f"expected a share that is at least one image beside a batch of {stage.batch}, got {share}"
            )
        batch = stage.batch + more
        stages.append(replace(stage, batch=batch, extra_share=more / batch))
    return replace(recipe, stages=tuple(stages), rendered_frames=0)


def _teacher(session: StudySession) -> Network:
    """The one that was given, else one trained on the students' images, from random weights."""
    if session.model is not None:
        card = find_model(session.model).card
        if by_proposals(card.architecture):
            raise ModelError(
                f"expected --model with a teacher that looks at whole pictures, such as hrnet-ocr-ms, "
                f"{session.model.name} is {card.architecture}"
            )
        return session.given(session.model)
    width = session.schedule.teacher_width
    name = TEACHER_RECIPE if width is None else f"{TEACHER_RECIPE}-{width:g}"
    return session.network(name, session.recipe(TEACHER_RECIPE, width=width), from_start=False)


def _doubt(session: StudySession, teacher: Network) -> str:
    """Whether a teacher that was given has seen the drive held out; empty for no."""
    if session.held_out is None or not teacher.trained.given:
        return ""
    trained = teacher.trained
    return warning("The teacher", trained.trained_on, session.dataset.name, session.held_out)


def _students(
    session: StudySession, recipe: Recipe, teacher: Network, images: LabelledImages
) -> dict[str, _Student]:
    """By their rows. `alone` is the network that other studies train, too."""
    name = "icnet" if recipe.name == RECIPE and session.start is None else recipe.name
    soft = Distillation(teacher=str(teacher.path))
    mixed = beside(recipe, session.unlabelled.share)
    return {
        ALONE: _Student(name=name, recipe=recipe),
        AUTO: _Student(name=f"{name}-auto", recipe=mixed, extra=images),
        SOFT: _Student(name=f"{name}-soft", recipe=replace(recipe, distillation=soft)),
        BOTH: _Student(
            name=f"{name}-auto-soft", recipe=replace(mixed, distillation=soft), extra=images
        ),
    }


def _rows(
    session: StudySession,
    networks: dict[str, Network],
    recipes: dict[str, Recipe],
    labelled: AutoLabelled,
) -> tuple[Distilled, ...]:
    scores = {row: session.score(network) for row, network in networks.items()}
    rows = []
    for row, network in networks.items():
        recipe, minutes = recipes.get(row), network.trained.minutes
        mixed = recipe is not None and recipe.wants_extra
        rows.append(
            Distilled(
                name=row,
                network=network.trained.name,
                score=scores[row],
                gain=None if row == ALONE else scores[row].miou - scores[ALONE].miou,
                steps=None if recipe is None else steps(recipe, len(session.dataset)),
                frames=labelled.frames if mixed else 0,
                kept=labelled.coverage if mixed else None,
                seconds=None if minutes is None else 60 * minutes,
            )
        )
    return tuple(rows)


def steps(recipe: Recipe, images: int) -> int:
    """Of the optimizer, with so many real images."""
    return sum(
        stage.epochs * max(1, images // (stage.batch - stage.num_extra)) for stage in recipe.stages
    )
