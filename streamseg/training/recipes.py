"""The recipes that there are, each made by a function, by name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any

from streamseg.datasets.augment import View
from streamseg.datasets.conditions import Conditions
from streamseg.datasets.objects import Objects
from streamseg.datasets.paste import Paste
from streamseg.errors import ModelError
from streamseg.models.card import InputSpec
from streamseg.training.recipe import Recipe
from streamseg.training.rmi import RegionMutualInformation
from streamseg.training.stage import Stage


def icnet_camvid() -> Recipe:
    """The recipe of the shipped weights: enlarged crops first, then nearly whole enlarged frames.

    CamVid's frames here are 360x480 and its poles one or two pixels wide, while ICNet answers at a
    quarter of its input: so the network sees frames enlarged 1.6 times, 576x768 + 1.
    """
    crops = View(
        crop=(385, 513), scale=(0.8, 2.4), aspect=1.2, rotation_degrees=4,
        color=0.4, rare_class_share=0.3,
    )  # fmt: skip
    frames = View(
        crop=(577, 769), scale=(1.2, 2.1), aspect=1.1, rotation_degrees=2,
        color=0.3, rare_class_share=0.15,
    )  # fmt: skip
    return Recipe(
        name="icnet-camvid",
        architecture="icnet",
        input=InputSpec(size=(577, 769)),
        stages=(
            Stage(
                epochs=74, decay_epochs=95, batch=12, view=crops, learning_rate=1.5e-3,
                class_softness=1.10,
            ),
            Stage(
                epochs=10, decay_epochs=46, batch=6, view=frames, learning_rate=6e-4,
                class_softness=1.05,
            ),
            Stage(
                epochs=37, batch=6, view=frames, learning_rate=5e-4, warmup_steps=1,
                class_softness=1.05, label_stride=2,
            ),
        ),
        jaccard_weight=0.5,
        score_every=10,
    )  # fmt: skip


def icnet_camvid_more() -> Recipe:
    """To go on with from `icnet_camvid`'s weights (`train --from`), as the shipped ones did.

    These have 0.75 mIoU on their own training frames (`eval --split train`): they have not learned enough, rather than
    too much. With so many passes more is done to the pictures. Fine labels and the soft Jaccard at 1/2 throughout; see
    `training.changes` for the rest.
    """
    short = icnet_camvid()
    crops, _, frames = short.stages
    conditions = Conditions(light=0.7, shadows=0.3, haze=0.15, noise=0.3, blur=0.2, jpeg=0.2)
    more: dict[str, Any] = {"paste": Paste(share=0.7), "label_stride": 2}

    def in_all_weathers(view: View) -> View:
        return replace(view, conditions=conditions)

    return replace(
        short,
        name="icnet-camvid-more",
        stages=(
            replace(
                crops, epochs=130, decay_epochs=150, learning_rate=1.2e-3, warmup_steps=300, **more,
                view=in_all_weathers(crops.view),
            ),
            replace(
                frames, epochs=30, learning_rate=4e-4, **more, view=in_all_weathers(frames.view)
            ),
        ),
        weight_decay=0.05,
        ema_rises=True,
        score_every=20,
        seed=1,
        shards=2,
    )  # fmt: skip


def icnet_camvid_fine() -> Recipe:
    """To go on with from `icnet_camvid_more`'s weights (`train --from`): the same on frames enlarged 1.87 times.

    Those weights, trained for 577x769, are better at 673x897 as they are (`eval --size`): poles of one or two pixels
    are seen there, and they now learn at that size. Short, so that the rates are half.
    """
    more = icnet_camvid_more()
    crops, frames = more.stages
    return replace(
        more,
        name="icnet-camvid-fine",
        input=replace(more.input, size=(673, 897)),
        stages=(
            replace(
                crops, epochs=36, decay_epochs=42, batch=8, learning_rate=6e-4, warmup_steps=100,
                view=replace(crops.view, crop=(481, 641), scale=(0.9, 2.8)),
            ),
            replace(
                frames, epochs=6, learning_rate=2e-4,
                view=replace(frames.view, crop=(673, 897), scale=(1.4, 2.45)),
            ),
        ),
        ema_decay=0.996,
        score_every=6,
        seed=2,
    )  # fmt: skip


def icnet_camvid_tuning() -> Recipe:
    """A third of `icnet_camvid`'s epochs at half its rates: what a pruned network needs to find its feet again.

    It begins on crops, which are many, and ends as that recipe does.
    """
    whole = icnet_camvid()
    crops, _, frames = whole.stages
    return replace(
        whole,
        name="icnet-camvid-tuning",
        stages=(
            replace(crops, epochs=24, decay_epochs=32, learning_rate=crops.learning_rate / 2),
            replace(frames, epochs=16, learning_rate=frames.learning_rate / 2, warmup_steps=20),
        ),
        ema_rises=True,
    )


def pspnet50_camvid() -> Recipe:
    """PSPNet50 by `icnet_camvid`'s views, rates and epochs, so that what differs is the network.

    Its auxiliary head counts 0.4 (Zhao et al., CVPR 2017). It answers at 1/8, where poles are lost, so that its
    answer is interpolated before the loss from the first epoch on, as its authors do.
    """
    whole = icnet_camvid()
    return replace(
        whole,
        name="pspnet50-camvid",
        architecture="pspnet50",
        stages=tuple(replace(stage, label_stride=2) for stage in whole.stages),
        branch_weights=(1.0, 0.4),
    )


def icnet_deconv_camvid(kernel: int) -> Recipe:
    """`icnet_camvid` with deconvolutions of `kernel` (3, 5 or 7) taps a side in place of cascade feature fusion."""
    architecture = f"icnet-deconv{kernel}"
    return replace(icnet_camvid(), name=f"{architecture}-camvid", architecture=architecture)


def hrnet_ocr_camvid() -> Recipe:
    """HRNetV2-W18 with object context by the published loss: regions, and 0.4 of cross entropy for the soft regions.

    Power 2, blur and scales of a factor of two to either side are hierarchical multi-scale attention's (Tao et al.
    2020); optimizer, rate and epochs are not: AdamW as in the other recipes, for small batches of small pictures.
    """
    crops = View(
        crop=(320, 448), scale=(0.8, 3.2), aspect=1.1, color=0.4, rare_class_share=0.5,
        conditions=Conditions(blur=0.2),
    )  # fmt: skip
    return Recipe(
        name="hrnet-ocr-camvid",
        architecture="hrnet-ocr",
        width=18 / 48,
        input=InputSpec(
            size=(576, 768), color="rgb", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375),
            align_corners=False, offset=0,
        ),
        stages=(Stage(epochs=120, batch=8, view=crops, learning_rate=1e-3, power=2.0),),
        region=RegionMutualInformation(),
        branch_weights=(1.0, 0.4),
        score_every=10,
    )  # fmt: skip


def hrnet_ocr_ms_camvid() -> Recipe:
    """The same at scales 0.5 and 1, with attention between them: the teacher."""
    single = hrnet_ocr_camvid()
    return replace(single, name="hrnet-ocr-ms-camvid", architecture="hrnet-ocr-ms")


def deconvnet_camvid() -> Recipe:
    """DeconvNet of an eighth of its width: pieces of frames first, then the paper's two stages, single objects and
    whatever a proposal holds.

    Of pieces beyond 224x224 its middle is not one vector but a map of them, each for its surroundings, so that each
    piece should teach it more; ImageNet's weights, with which the paper begins, are not to be had. Begun `--from`
    FCN-8s it has its VGG16. It stays far behind FCN-8s: docs/deconvnet-training.md has the table, and what departs
    from the paper.
    """
    pieces = View(
        crop=(320, 416), scale=(0.8, 1.4), aspect=1.1, rotation_degrees=2,
        color=0.3, rare_class_share=0.15,
    )  # fmt: skip
    centred = Stage(
        epochs=6, batch=16, view=View(crop=(224, 224), color=0.3), learning_rate=2e-3,
        objects=Objects(kind="centred"),
    )  # fmt: skip
    # Lesser things are seen around greater ones, at the magnification at which engines look.
    proposals = Objects(kind="proposals", extend=1.0, least_side=64, whole_share=0.6)
    return Recipe(
        name="deconvnet-camvid",
        architecture="deconvnet",
        width=1 / 8,
        input=InputSpec(size=(224, 224), align_corners=False, offset=0, fixed=True),
        stages=(
            Stage(epochs=30, decay_epochs=45, batch=8, view=pieces, learning_rate=3e-3),
            centred,
            replace(centred, epochs=84, objects=proposals),
        ),
        jaccard_weight=0.5,
        ema_rises=True,
        score_every=30,
        shards=2,
        reestimate=50,
    )


def fcn8s_camvid() -> Recipe:
    """FCN-8s of DeconvNet's width by its losses, from pieces of whole frames: what it is compared with, and the other
    half of their ensemble.

    Pieces of 224x288 cost a third of whole frames; it answers for whole ones afterwards.
    """
    pieces = View(
        crop=(224, 288), scale=(0.8, 1.6), aspect=1.1, rotation_degrees=2,
        color=0.3, rare_class_share=0.15,
    )  # fmt: skip
    return Recipe(
        name="fcn8s-camvid",
        architecture="fcn8s",
        width=1 / 8,
        input=InputSpec(size=(384, 512), align_corners=False, offset=0),
        stages=(
            Stage(
                epochs=80,
                batch=12,
                view=pieces,
                learning_rate=2e-3,
                warmup_steps=60,
                label_stride=2,
            ),
        ),
        jaccard_weight=0.5,
        ema_decay=0.99,
        score_every=10,
        shards=2,
        reestimate=50,
    )


def icnet_ms_camvid() -> Recipe:
    """ICNet at scales 0.5 and 1, with attention between them, by `icnet_camvid`'s views, rates and epochs.

    Its answer is at the image's own size, and compared at half of it from the first epoch on.
    """
    whole = icnet_camvid()
    return replace(
        whole,
        name="icnet-ms-camvid",
        architecture="icnet-ms",
        stages=tuple(replace(stage, label_stride=2) for stage in whole.stages),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "deconvnet-camvid": deconvnet_camvid,
    "fcn8s-camvid": fcn8s_camvid,
    "hrnet-ocr-camvid": hrnet_ocr_camvid,
    "hrnet-ocr-ms-camvid": hrnet_ocr_ms_camvid,
    "icnet-camvid": icnet_camvid,
    "icnet-camvid-more": icnet_camvid_more,
    "icnet-camvid-fine": icnet_camvid_fine,
    "icnet-camvid-tuning": icnet_camvid_tuning,
    "icnet-deconv3-camvid": partial(icnet_deconv_camvid, 3),
    "icnet-deconv5-camvid": partial(icnet_deconv_camvid, 5),
    "icnet-deconv7-camvid": partial(icnet_deconv_camvid, 7),
    "icnet-ms-camvid": icnet_ms_camvid,
    "pspnet50-camvid": pspnet50_camvid,
}


def find_recipe(
    name: str, *, epochs: int | None = None, seed: int | None = None, width: float | None = None
) -> Recipe:
    """A recipe by name.

    Args:
        name: a key of `RECIPES`.
        epochs: how many in all, the stages shortened or stretched in proportion; one that would
            have less than half an epoch is left out.
        seed: another than the recipe's.
        width: another factor than the architecture's.

    Raises:
        ModelError: no such recipe.
        ValueError: no epochs at all.
    """
    if name not in RECIPES:
        raise ModelError(f"unknown recipe {name!r}; known: {', '.join(sorted(RECIPES))}")
    recipe = RECIPES[name]()
    if epochs is not None:
        if epochs < 1:
            raise ValueError(f"expected epochs >= 1, got {epochs}")
        ends = [
            round(end * epochs / recipe.epochs)
            for end in accumulate(stage.epochs for stage in recipe.stages)
        ]
        stages = tuple(
            replace(
                stage,
                epochs=end - start,
                decay_epochs=stage.decay_epochs
                and max(end - start, round(stage.decay_epochs * epochs / recipe.epochs)),
            )
            for stage, start, end in zip(recipe.stages, [0, *ends], ends, strict=False)
            if end > start
        )
        recipe = replace(recipe, stages=stages)
    if width is not None:
        recipe = replace(recipe, width=width)
    return recipe if seed is None else replace(recipe, seed=seed)


def mixed_with(recipe: Recipe, share: float) -> Recipe:
    """`recipe` with extra images of the caller's own as that share of each batch.

    Raises:
        ModelError: it renders extra images already.
        ValueError: a share that leaves no room in a batch, or mixes in nothing.
    """
    if recipe.wants_extra:
        raise ModelError(f"expected a recipe without extra images, {recipe.name} renders its own")
    stages = tuple(replace(stage, extra_share=share) for stage in recipe.stages)
    mixed = replace(recipe, stages=stages, rendered_frames=0)
    if not mixed.wants_extra:
        raise ValueError(f"expected a share that is at least one image of a batch, got {share}")
    return mixed
