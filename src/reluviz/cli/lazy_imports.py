"""Lazy imports of packages that other packages import and a run does not use.

A placeholder module stands for such a package. The first access to a name or a submodule of it imports the real
package, which then replaces the placeholder everywhere. With other versions of these packages, or with code that needs
more of them, only the saved time is lost.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any


def install_lazy_imports() -> None:
    """Import each of LAZY_PACKAGES as a placeholder from now on.

    Only for reluviz's own processes and not for a library: it changes what all code of the process imports.
    """
    if not any(isinstance(finder, _LazyFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LazyFinder())


class _LazyPackage(ModuleType):
    """A placeholder for a package until it is used; from then on another name of the real package.

    Its own names begin with an underscore: real packages have public names such as `load`.
    """

    _is_loaded = False

    def __getattr__(self, name: str) -> Any:
        # code that inspects all modules, such as `inspect`, reads names of this kind
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._load_package(), name)

    def _load_package(self) -> ModuleType:
        """Import and return the real package, with the same result as an ordinary import."""
        if not self._is_loaded:
            self._is_loaded = True
            del sys.modules[self.__name__]
            parent, _, child = self.__name__.rpartition(".")
            # while the package is imported it must not find the placeholder under its own name
            vars(sys.modules.get(parent, self)).pop(child, None)
        return importlib.import_module(self.__name__)


class _LazyDynamo(_LazyPackage):
    """The package behind torch.compile, which takes most of a second to import.

    Lightning imports it to recognise compiled modules, and torch to keep its own functions out of traces. Until the
    package has been imported, nothing can be compiled or traced. So until then

        isinstance(anything, OptimizedModule)   is False,
        disable(function)(...)                  is function(...),
        graph_break()                           does nothing,

    and these three do not import the package. When it is imported, its own `disable` is applied to the functions that
    were disabled before.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.OptimizedModule: Any = _LazyOptimizedModule(self)
        self._disabled: list[_DisabledFunction] = []

    def graph_break(self, *args: Any, **kwargs: Any) -> None:
        if self._is_loaded:
            self._load_package().graph_break(*args, **kwargs)

    def disable(self, fn: Any = None, recursive: bool = True, **kwargs: Any) -> Any:
        if self._is_loaded or not isinstance(fn, FunctionType):
            return self._load_package().disable(fn, recursive, **kwargs)
        self._disabled.append(_DisabledFunction(fn, recursive, kwargs))
        return self._disabled[-1].wrapper()

    def _load_package(self) -> ModuleType:
        package = super()._load_package()
        while self._disabled:
            self._disabled.pop().apply(package.disable)
        return package


class _DisabledFunction:
    """A function that has to be kept out of traces as soon as there can be any."""

    def __init__(self, target: Callable[..., Any], recursive: bool, kwargs: dict[str, Any]) -> None:
        self.target = target
        self.recursive = recursive
        self.kwargs = kwargs

    def wrapper(self) -> Callable[..., Any]:
        """Return a function that calls the target, whichever it is at the time of the call."""

        @functools.wraps(self.target)
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.target(*args, **kwargs)

        return call

    def apply(self, disable: Callable[..., Any]) -> None:
        """Replace the target by the one that the real `disable` makes of it."""
        self.target = disable(self.target, self.recursive, **self.kwargs)


class _LazyOptimizedModule:
    """A placeholder for the class of the modules that torch.compile returns."""

    def __init__(self, package: _LazyPackage) -> None:
        self._package = package

    def __instancecheck__(self, instance: object) -> bool:
        return self._package._is_loaded and isinstance(instance, self._package._load_package().OptimizedModule)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._package._load_package().OptimizedModule,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._package._load_package().OptimizedModule(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._package._load_package().OptimizedModule, name)


class _LazyPlots(_LazyPackage):
    """The plotting functions of torchmetrics, which import pyplot: a quarter of a second.

    Lightning imports the metrics of torchmetrics. They import from this module types, for annotations only, and
    functions. The placeholders of these functions load the module when they are called.
    """

    _AX_TYPE = _CMAP_TYPE = _PLOT_OUT_TYPE = object

    def __init__(self, name: str) -> None:
        super().__init__(name)
        for function in ("plot_confusion_matrix", "plot_curve", "plot_single_or_multi_val"):
            vars(self)[function] = self._lazy_function(function)

    def _lazy_function(self, function: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self._load_package(), function)(*args, **kwargs)

        return call


LAZY_PACKAGES: dict[str, type[_LazyPackage]] = {
    "torch._dynamo": _LazyDynamo,
    "torchmetrics.utilities.plot": _LazyPlots,
    # imported by torch itself
    "torch.export": _LazyPackage,
    # imported by TensorBoard, to read from cloud storage
    "boto3": _LazyPackage,
}


class _LazyFinder:
    """An import finder that returns each placeholder once, and loads the real package for imports of its submodules."""

    def __init__(self) -> None:
        self.pending = {name: kind for name, kind in LAZY_PACKAGES.items() if name not in sys.modules}
        self.created: list[_LazyPackage] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.pending:
            # the real package's spec, so that the placeholder shows the real file and folder
            spec = PathFinder.find_spec(fullname, path)
            if spec is not None:
                spec.loader = self  # type: ignore[assignment]
            return spec
        for package in self.created:
            if not package._is_loaded and fullname.startswith(f"{package.__name__}."):
                package._load_package()
                module = sys.modules.get(fullname)
                if module is None:
                    return importlib.util.find_spec(fullname)
                # Python prefers a module's own spec to the one returned here. Set it through the module's dict, since
                # some modules refuse to set attributes.
                vars(module)["__spec__"] = spec = ModuleSpec(fullname, _ImportedModuleLoader(module))  # type: ignore[arg-type]
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.created.append(self.pending.pop(spec.name)(spec.name))
        return self.created[-1]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a placeholder is complete."""


class _ImportedModuleLoader:
    """A loader for a module that its package has imported already; an ordinary loader would run it a second time."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"] = self.spec
