"""Files of tiny networks that run by proposals, with weights of their own and batch norms that have seen data."""

from pathlib import Path

from streamseg.labels import CAMVID, LabelSet
from streamseg.models.card import InputSpec, ModelCard

OBJECTS = LabelSet(
    name="objects",
    class_names=("background", "cat", "dog"),
    colors=((0, 0, 0), (64, 0, 0), (64, 0, 128)),
)
SPEC = InputSpec(size=(224, 224), align_corners=False, multiple=32, offset=0, fixed=True)
WIDTH = 1 / 16


def write_deconvnet(path: Path, labels: LabelSet = CAMVID, spec: InputSpec = SPEC) -> Path:
    """DeconvNet of a sixteenth of its channels; `path`."""
    import torch

    from streamseg.models.registry import build
    from streamseg.models.weights import save_weights

    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("deconvnet", len(labels), width=WIDTH)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the plain mean of what passes
                torch.nn.init.normal_(module.bias, 0.5, 0.5, generator=generator)
        torch.nn.init.normal_(network.seg_score.weight, 0, 1, generator=generator)
        coarse = 256 * torch.rand(2, 3, 9, 9, generator=generator) - 128
        pictures = torch.nn.functional.interpolate(coarse, (224, 224), mode="bilinear")
        with torch.no_grad():
            seen = network.train()(pictures)
            network.seg_score.bias -= seen.answer.mean((0, 2, 3))  # else one class has it all
    card = ModelCard(
        name=path.stem, architecture="deconvnet", labels=labels, input=spec, width=WIDTH
    )
    save_weights(path, network.state_dict(), card)
    return path
