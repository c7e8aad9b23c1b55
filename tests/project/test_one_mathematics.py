"""Each formula stands once in core and at most once in each declared twin, and no code compares the name of a model."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reluviz.core.models import MODELS

SOURCE = Path(__file__).parents[2] / "src" / "reluviz"
STATIC = SOURCE / "tab" / "static"
TWINS = {
    "engines/predict.py": "core.models",
    "engines/votes.py": "core/votes.py",
    "engines/vote_kernels.py": "core/models/relu.py",
}
"""Python twins of core, and what their first lines name as the original."""


def names_in(node: ast.AST) -> set[str]:
    """Return the names, attributes and string keys that an expression uses."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            found.add(part.id)
        elif isinstance(part, ast.Attribute):
            found.add(part.attr)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            found.add(part.value)
    return found


def is_operation(node: ast.AST, operator: type[ast.operator]) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, operator)


def is_call_of(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Call) and bool(names_in(node.func) & set(names))


def is_square(node: ast.AST) -> bool:
    return is_call_of(node, "square") or (is_operation(node, ast.Pow) and getattr(node.right, "value", None) == 2)


def elbow(node: ast.AST) -> bool:
    """-b / w."""
    if not is_operation(node, ast.Div) or isinstance(node.right, ast.Constant):
        return False
    return isinstance(node.left, ast.UnaryOp) and isinstance(node.left.op, ast.USub)


def slope_jump(node: ast.AST) -> bool:
    """v |w|."""
    slopes = {"w", "slope", "input_slope"}
    return is_operation(node, ast.Mult) and any(
        is_call_of(side, "abs", "fabs") and names_in(side) & slopes for side in (node.left, node.right)
    )


def per_sample_gradient(node: ast.AST) -> bool:
    """2 r."""
    residuals = {"r", "residual", "residuals"}
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult):
        return getattr(node.value, "value", None) == 2 and bool(names_in(node.target) & residuals)
    if not is_operation(node, ast.Mult) or getattr(node.left, "value", None) != 2:
        return False
    return isinstance(node.right, ast.Name | ast.Attribute) and bool(names_in(node.right) & residuals)


def vote_share(node: ast.AST) -> bool:
    """<g, G> / (N |G|^2)."""
    return is_operation(node, ast.Div) and is_operation(node.right, ast.Mult) and "norm" in names_in(node.right)


def effective_votes(node: ast.AST) -> bool:
    """(sum |g|)^2 / sum |g|^2."""
    return is_operation(node, ast.Div) and is_square(node.left) and not isinstance(node.right, ast.Constant)


def noise_scale(node: ast.AST) -> bool:
    """(mean |g|^2 - |G|^2) / |G|^2."""
    return (
        is_operation(node, ast.Div)
        and "signal" in names_in(node.right)
        and any(is_operation(part, ast.Sub) for part in ast.walk(node.left))
    )


def divergence_bound(node: ast.AST) -> bool:
    """10^6 max(L_0, var y)."""
    return is_operation(node, ast.Mult) and "DIVERGENCE_FACTOR" in names_in(node)


def gate(node: ast.AST) -> bool:
    """w x + b > 0, or h > 0."""
    if not (isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.Gt)):
        return False
    if getattr(node.comparators[0], "value", None) != 0:
        return False
    linear = is_operation(node.left, ast.Add) and is_operation(node.left.left, ast.Mult)
    return linear or (isinstance(node.left, ast.Name) and node.left.id == "h")


FORMULAS: dict[str, tuple[Callable[[ast.AST], bool], str, set[str]]] = {
    "elbow": (elbow, "core/elbows.py", set()),
    "slope jump": (slope_jump, "core/elbows.py", set()),
    "per-sample gradient": (per_sample_gradient, "core/models/model.py", {"engines/vote_kernels.py"}),
    "vote share": (vote_share, "core/votes.py", set()),
    "effective votes": (effective_votes, "core/votes.py", set()),
    "noise scale": (noise_scale, "core/votes.py", set()),
    "divergence bound": (divergence_bound, "core/snapshot.py", set()),
    "gate": (gate, "core/models/relu.py", {"engines/vote_kernels.py"}),
}
"""Formula -> its matcher, its place in core, and twins that may hold it too."""
KERNELS = {"engines/chain_kernels.py", "engines/minibatch_kernels.py", "engines/full_batch_kernels.py"}
"""Kernels that make updates; tests compare them with the reference engine."""


@pytest.fixture(scope="module")
def sources() -> dict[str, ast.Module]:
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_stands_once_in_core_and_nowhere_else_but_in_its_twins(
    formula: str, sources: dict[str, ast.Module]
) -> None:
    matches, place, twins = FORMULAS[formula]
    places = Counter(
        name for name, tree in sources.items() if name not in KERNELS for node in ast.walk(tree) if matches(node)
    )
    assert places[place] == 1
    # a kernel unrolls its loops, so that a twin holds a formula in several lines
    assert set(places) - {place} <= twins


def test_the_step_limits_of_momentum_stand_in_theory(sources: dict[str, ast.Module]) -> None:
    """(1 + mu)."""
    found = [
        name
        for name, tree in sources.items()
        for node in ast.walk(tree)
        if is_operation(node, ast.Add)
        and getattr(node.left, "value", None) == 1
        and names_in(node.right) & {"momentum", "mu"}
    ]
    assert sorted(found) == ["core/theory/constant.py", "core/theory/linear.py", *["core/theory/relu.py"] * 2]


PAGE_FORMULAS = {
    "elbow": r"-\s*[\w.\[\]]*\bb\b[\w.\[\]]*\s*/",
    "slope jump": r"Math\.abs\((?:\w+\.)?w\b[^)]*\)\s*\*|\*\s*Math\.abs\((?:\w+\.)?w\b",
    "per-sample gradient": r"\b2 \* (?:\w+\.)?r(?:esiduals?)?\b",
    "vote share": r"/ \(\w+ \* signal\)",
    "effective votes": r"\*\* 2 / ",
    "gate": r"fround.*> 0",
    "relu": r"Math\.max\(0, [\w.\[\]]+ \* [\w.\[\]]+ \+ [\w.\[\]]+\)",
}
"""Formula -> a pattern of its text in JavaScript. The page computes neither noise scale nor divergence bound."""


@pytest.mark.parametrize("formula", PAGE_FORMULAS)
def test_a_formula_stands_once_in_the_page(formula: str) -> None:
    places = Counter()
    for path in STATIC.rglob("*.js"):
        code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        places[path.relative_to(STATIC).as_posix()] += len(re.findall(PAGE_FORMULAS[formula], code))
    places = +places
    assert sum(places.values()) == 1
    assert all(name.startswith("core/") for name in places)


@pytest.mark.parametrize("twin", TWINS)
def test_a_twin_names_its_original_in_its_first_lines(twin: str) -> None:
    head = "\n".join((SOURCE / twin).read_text().splitlines()[:3])
    assert "twin" in head
    assert TWINS[twin] in head


ABOUT_ONE_MODEL = ("core/models/", "models/", "core/theory/", "engines/")
"""Files about one model alone, the registry, and the engines' tables of the models that they have kernels for."""


def compared_names(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that compare something with the name of a model, or look it up in a table of such names."""
    for node in ast.walk(tree):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            texts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            if len(set(keys) & set(MODELS)) > 1:
                yield node.lineno
        elif isinstance(node, ast.MatchValue):
            texts = [node.value]
        constants = [part for text in texts for part in ast.walk(text) if isinstance(part, ast.Constant)]
        if any(part.value in MODELS for part in constants if isinstance(part.value, str)):
            yield node.lineno


def test_no_code_outside_the_models_compares_the_name_of_a_model(sources: dict[str, ast.Module]) -> None:
    found = [
        f"{name}:{line}"
        for name, tree in sources.items()
        if not name.startswith(ABOUT_ONE_MODEL)
        for line in compared_names(tree)
    ]
    assert found == []


def test_no_script_of_the_page_compares_the_name_of_a_model() -> None:
    names = "|".join(MODELS)
    pattern = re.compile(rf"""model\s*[!=]==?\s*["'](?:{names})["']|["'](?:{names})["']\s*[!=]==?\s*\w*\.?model""")
    found = [
        f"{path.relative_to(STATIC).as_posix()}: {match[0]}"
        for path in STATIC.rglob("*.js")
        for match in pattern.finditer(path.read_text())
    ]
    assert found == []
