"""Say what this machine offers, and what `auto` would pick and why."""

import argparse

from streamseg.arguments import write_json

EXAMPLES = ("streamseg doctor", "streamseg doctor --json doctor.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the findings (- for stdout)")


def run(args: argparse.Namespace) -> int:
    from streamseg.machine import examine

    findings = examine()
    write_json(args.json, findings)
    if args.json != "-":
        for name, value in findings.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {entry}" for key, entry in value.items())
            elif isinstance(value, list):
                value = ", ".join(str(entry) for entry in value) or "none"
            print(f"{name:<14} {value}")
    return 0
