import json
import subprocess
import sys
from pathlib import Path

import pytest

from reluviz.cli import lazy_imports

pytestmark = pytest.mark.long

OPTIMIZERS = ("SGD", "NAdam", "Adagrad", "RMSprop", "AdamW", "RAdam", "Rprop", "ASGD", "LBFGS")


def output_of(code, cwd, *words):
    """Run code in a process of its own, and return its output."""
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# a lazy package


@pytest.fixture
def modules_run(tmp_path, monkeypatch):
    """`modules_run()`: the modules of the lazy package `box` that have run, in order."""
    (tmp_path / "box").mkdir()
    note = f"with open({str(tmp_path / 'log')!r}, 'a') as log: log.write(__name__ + ' ')\n"
    (tmp_path / "box/__init__.py").write_text(f"{note}import box\nfrom box import inner\nanswer = 42\nbox.inner\n")
    (tmp_path / "box/inner.py").write_text(f"{note}value = 7\n")
    (tmp_path / "box/outer.py").write_text(f"{note}import box\nvalue = box.answer + 1\n")
    (tmp_path / "log").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    lazy = {"box": lazy_imports._LazyPackage, "nowhere": lazy_imports._LazyPackage}
    monkeypatch.setattr(lazy_imports, "LAZY_PACKAGES", lazy)
    lazy_imports.install_lazy_imports()
    yield lambda: (tmp_path / "log").read_text().split()
    for name in [name for name in sys.modules if name.partition(".")[0] == "box"]:
        del sys.modules[name]


def test_an_import_alone_runs_no_module(modules_run):
    import box as package

    assert package.__name__ == "box"
    assert Path(package.__file__).parts[-2:] == ("box", "__init__.py")
    assert not hasattr(package, "__wrapped__")
    assert modules_run() == []


def test_the_use_of_a_name_runs_the_package_once_for_all_its_importers(modules_run):
    import box as first

    assert first.answer == 42
    import box as second

    assert second is sys.modules["box"]
    assert second is not first
    assert first.inner is second.inner is sys.modules["box.inner"]
    assert first.answer == 42
    with pytest.raises(AttributeError):
        _ = first.question
    assert modules_run() == ["box", "box.inner"]


@pytest.mark.parametrize(("name", "value", "run"), [("inner", 7, ["inner"]), ("outer", 43, ["inner", "outer"])])
def test_a_submodule_runs_once_and_belongs_to_the_real_package(modules_run, name, value, run):
    import importlib

    import box as first

    module = importlib.import_module(f"box.{name}")
    assert module is sys.modules[f"box.{name}"] is getattr(sys.modules["box"], name) is getattr(first, name)
    assert module.value == value
    assert module.__spec__.name == f"box.{name}"
    assert Path(module.__spec__.origin).name == f"{name}.py"
    assert modules_run() == ["box", *(f"box.{one}" for one in run)]


def test_missing_packages_modules_and_names_raise_the_usual_errors(modules_run):
    with pytest.raises(ModuleNotFoundError, match="No module named 'nowhere'"):
        import nowhere  # noqa: F401
    import box as package

    with pytest.raises(ModuleNotFoundError, match=r"No module named 'box\.missing'"):
        import box.missing
    with pytest.raises(ImportError, match="cannot import name 'question'"):
        from box import question  # noqa: F401
    assert package.answer == 42


def test_an_error_in_a_package_is_raised_when_it_is_used(modules_run, tmp_path):
    import box as package

    (tmp_path / "box/__init__.py").write_text("raise RuntimeError('broken')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            _ = package.answer


def test_installing_lazy_imports_twice_has_no_further_effect(modules_run):
    lazy_imports.install_lazy_imports()
    assert sum(isinstance(finder, lazy_imports._LazyFinder) for finder in sys.meta_path) == 1


# a training run

INSTALL = "from reluviz.cli.lazy_imports import install_lazy_imports; install_lazy_imports()"
MAIN = "import sys; from reluviz.__main__ import main; sys.exit(main())"
PRINT_LOADED_AT_EXIT = """
import atexit, sys
@atexit.register
def print_loaded():
    modules = ("torch._dynamo.eval_frame", "torch.export.dynamic_shapes", "sympy", "boto3.session")
    print(*(name for name in modules if name in sys.modules), sep=",")
"""


@pytest.mark.parametrize("engine", ["fused", pytest.param("reference", marks=pytest.mark.long)])
def test_a_run_loads_no_lazy_package(tmp_path, engine):
    words = ["train", "+exp=relu", "updates=20", f"engine={engine}", "hydra.run.dir=run"]
    assert output_of(f"{PRINT_LOADED_AT_EXIT}{INSTALL}; {MAIN}", tmp_path, *words).splitlines()[-1] == ""


@pytest.mark.long
def test_only_the_command_line_installs_lazy_imports(tmp_path):
    finders = "[one for one in sys.meta_path if type(one).__name__ == '_LazyFinder']"
    look = f"import reluviz, reluviz.training.run; print({finders})"
    assert output_of(f"import sys; {look}", tmp_path) == "[]\n"
    code = f"import sys, atexit; from reluviz.__main__ import process; {look}; sys.argv[1:] = ['--help']; process()"
    assert output_of(code, tmp_path).startswith("[]\n")


@pytest.mark.long
def test_every_optimizer_gives_the_same_numbers_as_without_lazy_imports(tmp_path):
    train_with_each = """
import sys
from reluviz.__main__ import main
shared = "train +exp=relu updates=12 snapshots.every=6 callbacks=minimal engine=reference".split()
for name in sys.argv[1:]:
    own = [f"optimizer._target_=torch.optim.{name}", "optimizer.lr=0.01", f"hydra.run.dir={name}"]
    sys.argv[1:] = [*shared, *own, "~optimizer.weight_decay"]
    assert main() == 0, name
"""
    found = {}
    for how, before in (("with", INSTALL), ("without", "")):
        (tmp_path / how).mkdir()
        output_of(before + train_with_each, tmp_path / how, *OPTIMIZERS)
        found[how] = {name: json.loads((tmp_path / how / name / "metrics.json").read_text()) for name in OPTIMIZERS}
        for metrics in found[how].values():
            del metrics["seconds"]
    assert found["with"] == found["without"]
    assert len({metrics["loss/train"][0] for metrics in found["with"].values()}) == len(OPTIMIZERS)


# torch.compile in a process with lazy imports

HEAD = """
import sys, warnings
from reluviz.cli.lazy_imports import install_lazy_imports
install_lazy_imports()
import torch
import lightning as L
loaded = lambda: "torch._dynamo.eval_frame" in sys.modules
assert not loaded()
"""


@pytest.mark.long
def test_functions_that_were_disabled_before_the_import_are_not_compiled(tmp_path):
    code = """
@torch.compiler.disable
def disabled(x):
    return torch.sin(x)

@torch.compiler.disable(recursive=False)
def disabled_alone(x):
    return torch.cos(x)

calls = []
def backend(graph, inputs):
    calls.append([node.target.__name__ for node in graph.graph.nodes if node.op == "call_function"])
    return graph.forward

def function(x):
    x = torch.tanh(x)
    torch._dynamo.graph_break()
    return torch.exp(disabled_alone(disabled(x)))

x = torch.linspace(0, 1, 5)
assert torch.equal(disabled(x), torch.sin(x))
plain = function(x)
compiled = torch.compile(function, backend=backend)
assert torch.equal(compiled(x), plain)
assert calls == [["tanh"], ["exp"]], calls
import torch._dynamo.config as config
import torch._dynamo.testing
assert config is torch._dynamo.config is sys.modules["torch._dynamo.config"]
assert torch._dynamo.is_dynamo_supported()
print("compiled")
"""
    assert output_of(HEAD + code, tmp_path) == "compiled\n"


@pytest.mark.long
def test_lightning_recognizes_a_compiled_module_and_trains_it(tmp_path):
    code = """
import logging
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
from lightning.fabric.wrappers import _unwrap_compiled
from reluviz import PiecewiseLinearData, ReLUModule

class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def forward(self, x):
        return self.layer(x)
    def training_step(self, batch, index):
        return (self(batch) ** 2).mean()
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)

def fitted(wrap):
    torch.manual_seed(0)
    module = wrap(Line())
    trainer = L.Trainer(max_steps=5, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(10, 1)))
    return [value.tolist() for value in module.parameters()]

plain = fitted(lambda module: module)
assert not loaded()
line = torch.nn.Linear(1, 1)
assert _unwrap_compiled(line)[0] is line
compiled = torch.compile(line, backend="eager")
assert loaded()
assert _unwrap_compiled(compiled)[0] is line
assert fitted(lambda module: torch.compile(module, backend="eager")) == plain
import lightning.fabric.wrappers as wrappers
class Subclass(wrappers.OptimizedModule):
    pass
assert issubclass(Subclass, torch._dynamo.OptimizedModule)
print("trained")
"""
    assert output_of(HEAD + code, tmp_path).splitlines()[-1] == "trained"


@pytest.mark.long
def test_an_optimizer_that_has_run_before_is_compiled_as_usual(tmp_path):
    code = """
import logging
import torch
value = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.Adam([value], lr=0.1)
graphs = []

def backend(graph, inputs):
    graphs.append([getattr(node.target, "__name__", node.op) for node in graph.graph.nodes])
    return graph.forward

def step():
    optimizer.zero_grad()
    (value ** 2).sum().backward()
    optimizer.step()

step()
loaded_before_compiling = "torch._dynamo.eval_frame" in sys.modules
torch._logging.set_logs(all=logging.ERROR)
compiled = torch.compile(step, backend=backend)
for _ in range(3):
    compiled()
print(loaded_before_compiling, value.tolist(), graphs, file=sys.stdout)
"""
    without = output_of(f"import sys, torch._dynamo{code}", tmp_path)
    assert output_of(f"{HEAD}{code}", tmp_path) == without.replace("True", "False", 1)
    assert without.startswith("True [0.6")
    assert "truediv" in without


@pytest.mark.long
def test_an_imported_submodule_of_the_compiler_is_the_one_that_it_uses(tmp_path):
    code = """
import torch._dynamo.config as config
assert loaded()
assert config is torch._dynamo.config is sys.modules["torch._dynamo.config"]
from torch._dynamo import eval_frame
assert eval_frame.config is config
with torch._dynamo.config.patch(recompile_limit=5):
    assert config.recompile_limit == eval_frame.config.recompile_limit == 5
assert config.recompile_limit != 5
print("one")
"""
    assert output_of(HEAD + code, tmp_path) == "one\n"


@pytest.mark.long
def test_a_network_can_be_exported(tmp_path):
    code = """
network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.ReLU())
x = torch.ones(2, 1)
assert torch.equal(torch.export.export(network, (x,)).module()(x), network(x))
print("exported")
"""
    assert output_of(HEAD + code, tmp_path) == "exported\n"


# plots of metrics


@pytest.mark.long
def test_lightning_loads_no_pyplot_and_a_metric_can_still_be_plotted(tmp_path):
    code = """
import matplotlib
assert "torchmetrics.utilities.plot" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
matplotlib.use("agg")
from torchmetrics import MeanSquaredError
from torchmetrics.classification import BinaryConfusionMatrix, BinaryROC
mean, table, curve = MeanSquaredError(), BinaryConfusionMatrix(), BinaryROC()
for metric, values in ((mean, (torch.ones(3), torch.zeros(3))), (table, (torch.tensor([1, 0]), torch.tensor([1, 1])))):
    metric.update(*values)
curve.update(torch.tensor([0.2, 0.9]), torch.tensor([0, 1]))
drawn = [metric.plot()[1].get_lines() for metric in (mean, curve)]
assert drawn[0][0].get_ydata().tolist() == [1.0], drawn[0][0].get_ydata()
assert table.plot()[1].get_xlabel() == "Predicted class"
from matplotlib.axes import Axes
from torchmetrics.utilities.plot import _AX_TYPE
assert _AX_TYPE is Axes
print("drawn")
"""
    assert output_of(HEAD + code, tmp_path) == "drawn\n"
