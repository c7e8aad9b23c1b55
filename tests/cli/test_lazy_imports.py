import json
import subprocess
import sys
from pathlib import Path

import pytest

from reluviz.cli import lazy_imports

OPTIMIZERS = ("SGD", "NAdam", "Adagrad", "RMSprop", "AdamW", "RAdam", "Rprop", "ASGD", "LBFGS")


def ran(code, cwd, *words):
    """Run code in a process of its own, and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# a package that is postponed


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A postponed package `box`, which writes down what of it is run; the list of that."""
    (tmp_path / "box").mkdir()
    note = f"with open({str(tmp_path / 'log')!r}, 'a') as log: log.write(__name__ + ' ')\n"
    (tmp_path / "box/__init__.py").write_text(f"{note}import box\nfrom box import inner\nanswer = 42\nbox.inner\n")
    (tmp_path / "box/inner.py").write_text(f"{note}value = 7\n")
    (tmp_path / "box/outer.py").write_text(f"{note}import box\nvalue = box.answer + 1\n")
    (tmp_path / "log").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(lazy_imports, "PACKAGES", {"box": lazy_imports._StandIn, "nowhere": lazy_imports._StandIn})
    lazy_imports.postpone()
    yield lambda: (tmp_path / "log").read_text().split()
    for name in [name for name in sys.modules if name.partition(".")[0] == "box"]:
        del sys.modules[name]


def test_an_import_alone_runs_nothing(box):
    import box as package

    assert package.__name__ == "box"
    assert Path(package.__file__).parts[-2:] == ("box", "__init__.py")
    assert not hasattr(package, "__wrapped__")
    assert box() == []


def test_a_name_runs_the_package_once_and_every_holder_sees_it(box):
    import box as first

    assert first.answer == 42
    import box as second

    assert second is sys.modules["box"]
    assert second is not first
    assert first.inner is second.inner is sys.modules["box.inner"]
    assert first.answer == 42
    with pytest.raises(AttributeError):
        _ = first.question
    assert box() == ["box", "box.inner"]


@pytest.mark.parametrize(("name", "value", "run"), [("inner", 7, ["inner"]), ("outer", 43, ["inner", "outer"])])
def test_a_submodule_is_run_once_and_belongs_to_the_real_package(box, name, value, run):
    import importlib

    import box as first

    module = importlib.import_module(f"box.{name}")
    assert module is sys.modules[f"box.{name}"] is getattr(sys.modules["box"], name) is getattr(first, name)
    assert module.value == value
    assert module.__spec__.name == f"box.{name}"
    assert Path(module.__spec__.origin).name == f"{name}.py"
    assert box() == ["box", *(f"box.{one}" for one in run)]


def test_what_is_not_there_is_missing_as_ever(box):
    with pytest.raises(ModuleNotFoundError, match="No module named 'nowhere'"):
        import nowhere  # noqa: F401
    import box as package

    with pytest.raises(ModuleNotFoundError, match=r"No module named 'box\.missing'"):
        import box.missing
    with pytest.raises(ImportError, match="cannot import name 'question'"):
        from box import question  # noqa: F401
    assert package.answer == 42


def test_a_package_that_fails_fails_where_it_is_used(box, tmp_path):
    import box as package

    (tmp_path / "box/__init__.py").write_text("raise RuntimeError('broken')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            _ = package.answer


def test_postponing_twice_is_postponing_once(box):
    lazy_imports.postpone()
    assert sum(isinstance(finder, lazy_imports._Finder) for finder in sys.meta_path) == 1


# a run

WITHOUT = "import sys; from reluviz.__main__ import main; sys.exit(main())"
WITH = f"from reluviz.cli.lazy_imports import postpone; postpone(); {WITHOUT}"
AFTER = """
import atexit, sys
@atexit.register
def tell():
    heavy = ("torch._dynamo.eval_frame", "torch.export.dynamic_shapes", "sympy", "boto3.session")
    print(*(name for name in heavy if name in sys.modules), sep=",")
"""


@pytest.mark.parametrize("engine", ["fused", "reference"])
def test_a_run_does_without_what_is_postponed(tmp_path, engine):
    words = ["train", "+exp=relu", "updates=20", f"engine={engine}", "hydra.run.dir=run"]
    assert ran(AFTER + WITH, tmp_path, *words).splitlines()[-1] == ""


def test_only_the_command_line_postpones(tmp_path):
    look = (
        "import reluviz, reluviz.training.run; print([one for one in sys.meta_path if type(one).__name__ == '_Finder'])"
    )
    assert ran(f"import sys; {look}", tmp_path) == "[]\n"
    code = f"import sys, atexit; from reluviz.__main__ import process; {look}; sys.argv[1:] = ['--help']; process()"
    assert ran(code, tmp_path).startswith("[]\n")


def test_every_optimizer_ends_with_the_same_numbers_as_without_it(tmp_path):
    many = """
import sys
from reluviz.__main__ import main
shared = "train +exp=relu updates=12 snapshots.every=6 callbacks=minimal engine=reference".split()
for name in sys.argv[1:]:
    own = [f"optimizer._target_=torch.optim.{name}", "optimizer.lr=0.01", f"hydra.run.dir={name}"]
    sys.argv[1:] = [*shared, *own, "~optimizer.weight_decay"]
    assert main() == 0, name
"""
    found = {}
    for how, before in (("with", "from reluviz.cli.lazy_imports import postpone; postpone()"), ("without", "")):
        (tmp_path / how).mkdir()
        ran(before + many, tmp_path / how, *OPTIMIZERS)
        found[how] = {name: json.loads((tmp_path / how / name / "metrics.json").read_text()) for name in OPTIMIZERS}
        for metrics in found[how].values():
            del metrics["seconds"]
    assert found["with"] == found["without"]
    assert len({metrics["loss/train"][0] for metrics in found["with"].values()}) == len(OPTIMIZERS)


# torch.compile in a process that has postponed it

HEAD = """
import sys, warnings
from reluviz.cli.lazy_imports import postpone
postpone()
import torch
import lightning as L
asleep = lambda: "torch._dynamo.eval_frame" not in sys.modules
assert asleep()
"""


def test_a_function_is_compiled_and_what_was_disabled_before_is_kept_out(tmp_path):
    code = """
@torch.compiler.disable
def apart(x):
    return torch.sin(x)

@torch.compiler.disable(recursive=False)
def also(x):
    return torch.cos(x)

calls = []
def backend(graph, inputs):
    calls.append([node.target.__name__ for node in graph.graph.nodes if node.op == "call_function"])
    return graph.forward

def function(x):
    x = torch.tanh(x)
    torch._dynamo.graph_break()
    return torch.exp(also(apart(x)))

x = torch.linspace(0, 1, 5)
assert torch.equal(apart(x), torch.sin(x))
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
    assert ran(HEAD + code, tmp_path) == "compiled\n"


def test_lightning_knows_a_compiled_module_and_trains_it(tmp_path):
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
assert asleep()
line = torch.nn.Linear(1, 1)
assert _unwrap_compiled(line)[0] is line
compiled = torch.compile(line, backend="eager")
assert not asleep()
assert _unwrap_compiled(compiled)[0] is line
assert fitted(lambda module: torch.compile(module, backend="eager")) == plain
import lightning.fabric.wrappers as wrappers
class Mine(wrappers.OptimizedModule):
    pass
assert issubclass(Mine, torch._dynamo.OptimizedModule)
print("trained")
"""
    assert ran(HEAD + code, tmp_path).splitlines()[-1] == "trained"


def test_an_optimizer_that_has_run_before_is_compiled_as_ever(tmp_path):
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
ahead = "torch._dynamo.eval_frame" in sys.modules
torch._logging.set_logs(all=logging.ERROR)
compiled = torch.compile(step, backend=backend)
for _ in range(3):
    compiled()
print(ahead, value.tolist(), graphs, file=sys.stdout)
"""
    without = ran(f"import sys, torch._dynamo{code}", tmp_path)
    assert ran(f"{HEAD}{code}", tmp_path) == without.replace("True", "False", 1)
    assert without.startswith("True [0.6")
    assert "truediv" in without


def test_a_submodule_of_the_compiler_is_the_one_it_uses(tmp_path):
    code = """
import torch._dynamo.config as config
assert not asleep()
assert config is torch._dynamo.config is sys.modules["torch._dynamo.config"]
from torch._dynamo import eval_frame
assert eval_frame.config is config
with torch._dynamo.config.patch(recompile_limit=5):
    assert config.recompile_limit == eval_frame.config.recompile_limit == 5
assert config.recompile_limit != 5
print("one")
"""
    assert ran(HEAD + code, tmp_path) == "one\n"


def test_a_network_is_exported(tmp_path):
    code = """
network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.ReLU())
x = torch.ones(2, 1)
assert torch.equal(torch.export.export(network, (x,)).module()(x), network(x))
print("exported")
"""
    assert ran(HEAD + code, tmp_path) == "exported\n"


# what metrics are drawn with


def test_lightning_needs_no_matplotlib_and_a_metric_is_drawn_all_the_same(tmp_path):
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
    assert ran(HEAD + code, tmp_path) == "drawn\n"
