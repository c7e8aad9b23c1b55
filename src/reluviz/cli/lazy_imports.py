"""Packages that other packages import and a run does not use: imported for real once something needs them.

A stand-in takes the place of such a package. Whatever is asked of it (a name, a submodule) imports the real package,
which takes its place everywhere; so somebody who needs more than usual, or has other versions, loses only the time.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any


def postpone() -> None:
    """Let the next import of each of these packages find its stand-in.

    For processes of our own and not for a library: it changes what all code of the process imports.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _StandIn(ModuleType):
    """A package until something is asked of it, and another name of the real one from then on."""

    asleep = True

    def __getattr__(self, name: str) -> Any:
        # code that looks through all modules, as `inspect` does, asks for names of this kind
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self.wake(), name)

    def wake(self) -> ModuleType:
        """Return the real package; all is then as if it had been imported from the beginning."""
        if self.asleep:
            self.asleep = False
            del sys.modules[self.__name__]
            parent, _, child = self.__name__.rpartition(".")
            # a package that looks itself up while it is being imported must not find the stand-in
            vars(sys.modules.get(parent, self)).pop(child, None)
        return importlib.import_module(self.__name__)


class _Dynamo(_StandIn):
    """torch.compile's machinery, which takes most of a second to import.

    Lightning imports it to recognise modules that were compiled, and torch to keep functions of its own out of what is
    being traced. Before it has been imported nothing can be compiled or traced. So until then

        isinstance(anything, OptimizedModule)   is False,
        disable(function)(...)                  is function(...),
        graph_break()                           does nothing,

    and these do not import it. Functions that were disabled before it was imported are so by its own `disable` then.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.OptimizedModule: Any = _OptimizedModule(self)
        self._disabled: list[_Disabled] = []

    def graph_break(self, *args: Any, **kwargs: Any) -> None:
        if not self.asleep:
            self.wake().graph_break(*args, **kwargs)

    def disable(self, fn: Any = None, recursive: bool = True, **kwargs: Any) -> Any:
        if not self.asleep or not isinstance(fn, FunctionType):
            return self.wake().disable(fn, recursive, **kwargs)
        self._disabled.append(_Disabled(fn, recursive, kwargs))
        return self._disabled[-1].function()

    def wake(self) -> ModuleType:
        real = super().wake()
        while self._disabled:
            self._disabled.pop().by(real.disable)
        return real


class _Disabled:
    """A function that is to be kept out of traces, once there can be any."""

    def __init__(self, target: Callable[..., Any], recursive: bool, kwargs: dict[str, Any]) -> None:
        self.target = target
        self.recursive = recursive
        self.kwargs = kwargs

    def function(self) -> Callable[..., Any]:
        @functools.wraps(self.target)
        def called(*args: Any, **kwargs: Any) -> Any:
            return self.target(*args, **kwargs)

        return called

    def by(self, disable: Callable[..., Any]) -> None:
        self.target = disable(self.target, self.recursive, **self.kwargs)


class _OptimizedModule:
    """The class of what torch.compile returns."""

    def __init__(self, package: _StandIn) -> None:
        self._package = package

    def __instancecheck__(self, instance: object) -> bool:
        return not self._package.asleep and isinstance(instance, self._package.wake().OptimizedModule)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._package.wake().OptimizedModule,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._package.wake().OptimizedModule(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._package.wake().OptimizedModule, name)


class _Plots(_StandIn):
    """What the metrics of torchmetrics are drawn with: pyplot, which takes a quarter of a second to import.

    Lightning imports these metrics. Theirs take from here types, for annotations, and functions, which import it once
    they are called.
    """

    _AX_TYPE = _CMAP_TYPE = _PLOT_OUT_TYPE = object

    def __init__(self, name: str) -> None:
        super().__init__(name)
        for function in ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val"):
            vars(self)[function] = self._later(function)

    def _later(self, function: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self.wake(), function)(*args, **kwargs)

        return call


PACKAGES: dict[str, type[_StandIn]] = {
    "torch._dynamo": _Dynamo,
    "torchmetrics.utilities.plot": _Plots,
    # a part of torch's own names
    "torch.export": _StandIn,
    # by TensorBoard, which could then read from a cloud's storage
    "boto3": _StandIn,
}


class _Finder:
    """Finds each stand-in once, and the real package for whoever asks for one of its submodules."""

    def __init__(self) -> None:
        self.open = {name: kind for name, kind in PACKAGES.items() if name not in sys.modules}
        self.found: list[_StandIn] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.open:
            # the real package's: its file and folder are what whoever looks at the stand-in is to see
            spec = PathFinder.find_spec(fullname, path)
            if spec is not None:
                spec.loader = self  # type: ignore[assignment]
            return spec
        for standin in self.found:
            if standin.asleep and fullname.startswith(f"{standin.__name__}."):
                standin.wake()
                known = sys.modules.get(fullname)
                if known is None:
                    return importlib.util.find_spec(fullname)
                # Python prefers a module's own to what is returned here; some modules let nobody set theirs
                vars(known)["__spec__"] = spec = ModuleSpec(fullname, _Imported(known))  # type: ignore[arg-type]
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.found.append(self.open.pop(spec.name)(spec.name))
        return self.found[-1]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stand-in is complete."""


class _Imported:
    """Hands over a module that its package has imported already, and that would be run a second time otherwise."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"] = self.spec
