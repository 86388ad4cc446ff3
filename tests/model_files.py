"""Files of tiny networks with weights of their own and batch norms that have seen data."""

from pathlib import Path

from streamseg.labels import CAMVID
from streamseg.models.card import InputSpec, ModelCard

SPEC = InputSpec(size=(97, 129))
WIDTH = 1 / 16


def spec_of(architecture: str) -> InputSpec:
    """What `write_model` writes into a network's card: those made of VGG16 take multiples of 32."""
    if architecture.startswith("fcn"):
        return InputSpec(size=(96, 128), align_corners=False, offset=0)
    if architecture == "deconvnet":
        return InputSpec(size=(224, 224), align_corners=False, offset=0, fixed=True)
    return SPEC


def write_model(path: Path, architecture: str = "icnet", *, auxiliary: bool = False) -> Path:
    """A network of CamVid's classes and width 1/16, for pictures of 97x129 (`spec_of`); `path`."""
    import torch

    from streamseg.models.registry import build
    from streamseg.models.weights import save_weights

    spec = spec_of(architecture)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(architecture, len(CAMVID), width=WIDTH)
        if spec != SPEC:
            for name, parameter in network.named_parameters():
                if name.startswith(("seg_score.w", "score_")) and parameter.ndim == 4:
                    torch.nn.init.normal_(parameter)  # they begin small, or at zero
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the plain mean of what passes
                torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                torch.nn.init.normal_(module.bias, 0, 0.2, generator=generator)
        pictures = 128 * torch.rand(4, 3, *spec.size, generator=generator) - 64
        if architecture.startswith("hrnet"):
            # Noise alone has nothing coarse: what so many layers of batch norm make of a smooth picture after it, is
            # thousands of times what they saw.
            coarse = 256 * torch.rand(2, 3, 7, 9, generator=generator) - 128
            pictures *= 2
            pictures[:2] += torch.nn.functional.interpolate(coarse, (97, 129), mode="bilinear")
        with torch.no_grad():
            seen = network.train()(pictures)
            if architecture == "hrnet-ocr":
                network.classify.bias -= seen.answer.mean((0, 2, 3))  # else one class has it all
    card = ModelCard(name="tiny", architecture=architecture, labels=CAMVID, input=spec, width=WIDTH)
    save_weights(path, network.state_dict(), card, auxiliary=auxiliary)
    return path
