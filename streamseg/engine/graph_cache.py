"""Converted graphs on disk: with a warm cache the OpenVINO engine starts without importing torch.

One file per graph in $XDG_CACHE_HOME/streamseg (~/.cache/streamseg), named by a digest of all that made it.
STREAMSEG_CACHE=off turns it off. A file is written whole or not at all; one that is damaged is made anew.

    32 bytes BLAKE2b of the rest │ 8 bytes length of the XML │ OpenVINO's XML │ OpenVINO's weights
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import openvino as ov
from openvino.passes import Manager, Serialize

KEEP_BYTES = 512 << 20
"""Least recently used graphs go beyond this, and greater ones are not kept. ICNet's takes 27 MB for every network
size, FCN-8s' at width 1 537 MB."""

DIGEST_BYTES = 32


def cached(core: ov.Core, made_of: tuple[object, ...], make: Callable[[], ov.Model]) -> ov.Model:
    """The graph that `make` returns, read from disk if it was ever made of the same things.

    Args:
        made_of: all that the graph depends on besides code and versions; their `repr` is hashed.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / f"{_digest(repr((made_of, ov.__version__)).encode(), _code()).hex()}.graph"
    graph = _read(core, path)
    if graph is None:
        graph = make()
        if _weights_bytes(graph) > KEEP_BYTES:
            return graph  # it alone would push out all others
        try:
            _write(path, graph)
        except (
            OSError
        ):  # no room or no right to write: the next start converts again, nothing else is lost
            return graph
    return graph


def cache_folder() -> Path | None:
    """Where graphs are kept; None when that is off or there is no home."""
    if os.environ.get("STREAMSEG_CACHE") == "off":
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "streamseg"
    except RuntimeError:
        return None


def file_digest(path: Path) -> str:
    """Digest of a file's contents."""
    return _digest(path.read_bytes()).hex()


def _digest(*parts: bytes | memoryview) -> bytes:
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def _code() -> bytes:
    """Our own source that graphs are traced from, so that an edited network never meets its old graph."""
    package = Path(__file__).parent.parent
    sources = ("models/*.py", "engine/*.py", "**/planes.py")
    files = sorted({file for pattern in sources for file in package.glob(pattern)})
    return b"".join(file.read_bytes() for file in files)


def _read(core: ov.Core, path: Path) -> ov.Model | None:
    """None for a file that is missing, damaged, or sealed by somebody who writes something else."""
    try:
        content = path.read_bytes()
        view = memoryview(content)[DIGEST_BYTES:]
        if _digest(view) != content[:DIGEST_BYTES]:
            return None
        (length,) = struct.unpack_from("<Q", view)
        graph: ov.Model = core.read_model(bytes(view[8 : 8 + length]), bytes(view[8 + length :]))
        os.utime(path)
    except (OSError, RuntimeError, struct.error):
        return None
    return graph


def _write(path: Path, graph: ov.Model) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        xml, weights, whole = (Path(name) / part for part in ("graph.xml", "graph.bin", "graph"))
        passes = Manager()
        passes.register_pass(Serialize(str(xml), str(weights)))
        passes.run_passes(graph)
        text, numbers = xml.read_bytes(), weights.read_bytes()
        head = struct.pack("<Q", len(text))
        with whole.open("wb") as file:
            file.writelines((_digest(head, text, numbers), head, text, numbers))
        whole.replace(path)
    _drop_oldest(path.parent)


def _weights_bytes(graph: ov.Model) -> int:
    constants = (node for node in graph.get_ops() if node.get_type_name() == "Constant")
    return sum(int(node.get_byte_size()) for node in constants)


def _drop_oldest(folder: Path) -> None:
    """Delete the least recently used graphs until the rest fits `KEEP_BYTES`."""
    kept = 0
    files = [(file.stat(), file) for file in folder.glob("*.graph")]
    for status, file in sorted(files, key=lambda item: -item[0].st_mtime):
        kept += status.st_size
        if kept > KEEP_BYTES:
            file.unlink(missing_ok=True)
