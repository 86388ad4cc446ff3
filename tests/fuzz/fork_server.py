"""Runs `python -m streamseg` in processes of their own, without the second that each would take to import it.

Comes in, on standard input: one JSON object per line, {"folder", "words", "program"}. For each this process
forks; the child enters the folder and is `python -m streamseg WORDS...` from there on, down to the interpreter's
own end, or `program` if that is given. Goes out, on standard output: {"pid"} at once, {"status", "cpu_seconds",
"peak_bytes"} at the end.

This process starts no threads, which a fork would lose: it imports, and computes nothing.
"""

import gc
import json
import os
import resource
import runpy
import sys
from importlib import import_module

IMPORTED_BEFORE = (
    "cv2",
    "av",
    "streamseg.cli.run",
    "streamseg.segmenter",
    "streamseg.stream.infer",
    "streamseg.stream.paint",
    "streamseg.stream.transfer",
    "streamseg.writing.sink",
    "openvino",
    "torch",
    "streamseg.engine.openvino_engine",
    "streamseg.engine.torch_engine",
    "streamseg.engine.entry",
    "streamseg.models.icnet",
    "safetensors.torch",
)


def serve() -> dict[str, object] | None:
    """Fork for every request.

    Returns:
        In a child, its request; in this process, None when there are no more.
    """
    for line in sys.stdin:
        request: dict[str, object] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return request
        print(json.dumps({"pid": pid}), flush=True)
        _, status, used = os.wait4(pid, 0)
        answer = {
            "status": os.waitstatus_to_exitcode(status),
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "peak_bytes": used.ru_maxrss * 1024,
        }
        print(json.dumps(answer), flush=True)
    return None


def become(folder: str, words: list[str], program: str | None) -> None:
    """Be the command from here on. Standard output and error go to files of the folder."""
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/oom_score_adj", "w") as file:  # if memory runs out, this process goes
        file.write("1000")
    new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), ("stdout", new), ("stderr", new))
    ):
        opened = os.open(name, flags)
        os.dup2(opened, number)
        os.close(opened)
    if program is not None:
        sys.argv = ["-c", *words]
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
        return
    sys.argv = ["streamseg", *words]
    runpy.run_module("streamseg", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it starts a thread
    for module in IMPORTED_BEFORE:
        import_module(module)
    gc.freeze()  # else every child copies all these objects at its end, to look for garbage
    if child := serve():
        become(**child)  # type: ignore[arg-type]
