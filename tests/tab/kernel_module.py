"""Assembles trainer/kernel.wat; run as a program, it writes trainer/kernel_wasm.js anew."""

import base64
from pathlib import Path

import wasmtime

TRAINER = Path(__file__).parents[2] / "src" / "reluviz" / "tab" / "static" / "trainer"
HEADER_BYTES = 8
TEXT = """// The kernel in WebAssembly, in base64: kernel.wat, assembled by tests/tab/kernel_module.py.

export const KERNEL = "{}";
"""


def assembled() -> str:
    """Return the text of kernel_wasm.js."""
    module = bytes(wasmtime.wat2wasm((TRAINER / "kernel.wat").read_text(encoding="utf-8")))
    return TEXT.format(base64.b64encode(_without_names(module)).decode())


def _without_names(module: bytes) -> bytes:
    """Return a module without its custom sections, which hold the names of functions and variables."""
    kept, at = module[:HEADER_BYTES], HEADER_BYTES
    while at < len(module):
        size, start = _unsigned(module, at + 1)
        if module[at] != 0:
            kept += module[at : start + size]
        at = start + size
    return kept


def _unsigned(module: bytes, at: int) -> tuple[int, int]:
    """Return a number in LEB128, and the place after it."""
    number = shift = 0
    while True:
        number |= (module[at] & 0x7F) << shift
        shift += 7
        at += 1
        if module[at - 1] < 0x80:
            return number, at


if __name__ == "__main__":
    (TRAINER / "kernel_wasm.js").write_text(assembled(), encoding="utf-8")
