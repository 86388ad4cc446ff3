"""List the models that can be loaded and the architectures that can be trained, or show one model's card."""

import argparse

EXAMPLES = ("streamseg models", "streamseg models icnet-camvid")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="name or file whose card to show (JSON)")


def run(args: argparse.Namespace) -> int:
    from streamseg.models.calibration import read_calibration
    from streamseg.models.find import find_model
    from streamseg.models.registry import ARCHITECTURES, SHIPPED

    if args.model:
        print(find_model(args.model).card.to_json())
        return 0
    print("shipped weights (--model NAME):")
    for name in SHIPPED:
        file = find_model(name)
        card = file.card
        height, width = card.input.size
        int8 = ", int8 ready" if read_calibration(file.path) else ""
        print(
            f"  {name:<14} {card.architecture}, {len(card.labels)} classes, network {height}x{width}{int8}"
        )
    print("architectures (`streamseg train`):")
    for name, entry in ARCHITECTURES.items():
        print(f"  {name:<14} {entry.summary}")
    print(
        "files: .safetensors from `streamseg train`; .onnx or OpenVINO .xml with a card beside it (.json)"
    )
    return 0
