import subprocess
import sys

import pytest

from reluviz import preload

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only done on Linux")

HEAD = """
import sys, threading
from reluviz.__main__ import _prepare
from reluviz.preload import preload
loading = lambda: [thread for thread in threading.enumerate() if thread.name == "preload"]
loaded = lambda: "libtorch_cpu.so" in open("/proc/self/maps").read()
"""


def ran(code):
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_library_is_loaded_without_torch_and_torch_works_with_it():
    code = """
preload()
for thread in loading():
    thread.join()
found = loaded(), "torch" in sys.modules
import torch
print(*found, torch.linalg.solve(torch.eye(3) * 2, torch.ones(3)).tolist())
"""
    gpu = "print(bool([*__import__('pathlib').Path(__import__('torch').__file__).parent.glob('lib/*cuda*')]))"
    if ran(gpu) == "True\n":
        pytest.skip("this torch loads libraries of CUDA")
    assert ran(code) == "True False [0.5, 0.5, 0.5]\n"


def test_torch_may_be_imported_meanwhile():
    assert ran("preload()\nimport torch\nprint(torch.ones(3).sum().item())") == "3.0\n"


@pytest.mark.parametrize("words", [["train", "--cfg", "job"], ["train", "--help"], ["train", "--info=all"], ["view"]])
def test_nothing_is_loaded_where_nothing_is_trained(words):
    assert ran(f"_prepare({words[0]!r}, {words[1:]!r})\nprint(loading(), loaded())") == "[] False\n"


@pytest.mark.parametrize("name", ["libtorch_cuda.so", "libc10_hip.so", "libtorch_xpu.so", ""])
def test_what_torch_loads_in_its_own_way_is_left_to_it(tmp_path, monkeypatch, name):
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").touch()
    if name:
        (tmp_path / "torch" / "lib" / "libtorch.so").touch()
        (tmp_path / "torch" / "lib" / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    for known in [known for known in sys.modules if known.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, known)
    began = []
    monkeypatch.setattr(preload.threading, "Thread", lambda **settings: began.append(settings))
    preload.preload()
    assert began == []
