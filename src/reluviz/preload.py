"""torch's library, which takes 0.15 s to load, loaded while Python does something else."""

import ctypes
import importlib.util
import sys
import threading
from contextlib import suppress
from pathlib import Path


def preload() -> None:
    """Begin to load torch's library in a thread; importing torch takes it from there, or waits for it.

    Where torch's import does more than to load it, as for CUDA's libraries, or looks for it elsewhere, nothing is done.
    """
    spec = importlib.util.find_spec("torch")
    if "torch" in sys.modules or not sys.platform.startswith("linux") or spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    if (folder / "libtorch.so").is_file() and not any(map(list, map(folder.glob, ("*cuda*", "*hip*", "*xpu*")))):
        threading.Thread(target=_load, args=(folder,), name="preload", daemon=True).start()


def _load(folder: Path) -> None:
    # whatever is wrong, torch's import will tell
    with suppress(OSError):
        # in torch's own order, and the first for all to see
        ctypes.CDLL(str(folder / "libtorch_global_deps.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libtorch.so"))
