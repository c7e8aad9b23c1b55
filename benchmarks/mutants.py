"""Mutation test of the mathematics: change one sign, factor, comparison or index at a time; a test must fail.

    python benchmarks/mutants.py                 50 mutants, drawn by seed 1
    python benchmarks/mutants.py --seed 2 --count 20 --jobs 2
    python benchmarks/mutants.py --only core/votes.py --count 1000

Sites are all operators + - * /, comparisons and numbers (factors, indices, axes) in `core`, in its twins (`engines`,
`tab/static/core`), and in the statistics of the report. Each mutant is written into a copy of the project, where the
tests of its file run. The exit status is 1 if a mutant survives that EQUIVALENT does not name.
"""

import sys
from pathlib import Path

# remove this folder, because its logging.py would hide the module of the standard library
sys.path.pop(0)

import argparse
import ast
import io
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import tokenize
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Queue

ROOT = Path(__file__).parents[1]
SOURCE = "src/reluviz/"
TESTS = {
    "core/distribution.py": "tests/core/test_distribution.py",
    "core/initial_state.py": "tests/core tests/models",
    "core/snapshot.py": "tests/core tests/engines/test_compiled_votes.py tests/training/test_snapshot_queue.py"
    " tests/training/test_replicas.py tests/record",
    "core/theory/baselines.py": "tests/core tests/training/test_replicas.py tests/cli/test_explain.py",
    "core/": "tests/core tests/training/test_divergence.py tests/training/test_snapshot_queue.py",
    "engines/predict.py": "tests/core",
    "engines/votes.py": "tests/engines/test_compiled_votes.py",
    "engines/vote_kernels.py": "tests/engines/test_compiled_votes.py",
    "engines/minibatch_kernels.py": "tests/engines/test_fused.py",
    "engines/chain_kernels.py": "tests/engines/test_chain_kernels.py",
    "engines/full_batch_kernels.py": "tests/engines/test_exact.py",
    "engines/philox.py": "tests/engines/test_philox.py",
    "data/samplers.py": "tests/data/test_samplers.py",
    "training/divergence.py": "tests/training/test_divergence.py",
    "analysis/report/statistics.py": "tests/analysis/test_report_statistics.py tests/analysis/test_report_findings.py",
    "tab/static/core/": "tests/tab/test_tab_math.py",
}
"""File or folder below src/reluviz -> its tests. The longest match counts."""
SEEDED = tuple(name for name in TESTS if name.startswith(("core", "engines", "tab", "analysis")))
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "*"}
COMPARISONS = {">": ">=", "<": "<=", ">=": ">", "<=": "<", "==": "!=", "!=": "==", "===": "!==", "!==": "==="}
TIMEOUT_SECONDS = 600

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "core/elbows.py",
        "leftmost = np.where((w < 0) & finite, active_slope(w, v), 0).sum(-1, keepdims=True)",
        "leftmost = np.where((w <= 0) & finite, active_slope(w, v), 0).sum(-1, keepdims=True)",
    ): "a unit with w = 0 has no finite elbow",
    (
        "tab/static/core/models/relu.js",
        "for (let i = 0; i < squares.length; i++) {",
        "for (let i = 0; i <= squares.length; i++) {",
    ): "a typed array ignores an index beyond its end",
    (
        "engines/minibatch_kernels.py",
        "low, high = starts[cell], starts[cell + 1]",
        "low, high = starts[cell], starts[cell + 2]",
    ): "the binary search finds the same place in a larger part of the sorted keys",
    (
        "engines/minibatch_kernels.py",
        "q = low - 1 if cell > before else low",
        "q = low - 1 if cell >= before else low",
    ): "the two cells differ, as a unit that stays in its cell is left out before",
    **{
        (
            "engines/minibatch_kernels.py",
            "jumps, sums = np.empty((2 * size + 2, 2)), np.empty((2 * size + 2, 2))",
            after,
        ): "scratch memory that is larger than needed"
        for after in (
            "jumps, sums = np.empty((3 * size + 2, 2)), np.empty((2 * size + 2, 2))",
            "jumps, sums = np.empty((2 * size + 3, 2)), np.empty((2 * size + 2, 2))",
            "jumps, sums = np.empty((2 * size + 2, 2)), np.empty((3 * size + 2, 2))",
            "jumps, sums = np.empty((2 * size + 2, 2)), np.empty((2 * size + 3, 2))",
        )
    },
    **{
        ("core/functions.py", before, after): "only the number of values that are held at a time changes"
        for before, after in (
            (
                "replicas, sample_step = len(next(iter(p.values()))), max(1, entries // width)",
                "replicas, sample_step = len(next(iter(p.values()))), max(2, entries // width)",
            ),
            (
                "replicas, sample_step = len(next(iter(p.values()))), max(1, entries // width)",
                "replicas, sample_step = len(next(iter(p.values()))), max(1, entries * width)",
            ),
            (
                "replica_step = max(1, entries // (width * min(sample_step, len(x))))",
                "replica_step = max(2, entries // (width * min(sample_step, len(x))))",
            ),
            (
                "replica_step = max(1, entries // (width * min(sample_step, len(x))))",
                "replica_step = max(1, entries * (width * min(sample_step, len(x))))",
            ),
        )
    },
    (
        "engines/philox.py",
        "start = builder.gep(array.data, [ir.Constant(ir.IntType(64), first * LANES)])",
        "start = builder.gep(array.data, [ir.Constant(ir.IntType(65), first * LANES)])",
    ): "LLVM truncates a wider index to the width of a pointer",
    (
        "core/snapshot.py",
        "recorded = sample if len(sample) < len(x) else None",
        "recorded = sample if len(sample) <= len(x) else None",
    ): "all samples are recorded either way, in the same order",
    (
        "core/votes.py",
        "if recorded is not None or samples > step:",
        "if recorded is not None or samples >= step:",
    ): "a single chunk is computed twice, with the same result",
    (
        "core/theory/relu.py",
        "slow = -np.expm1(t * np.log1p(-np.minimum(step, 0.5)))",
        "slow = -np.expm1(t * np.log1p(-np.minimum(step, 0.625)))",
    ): "only steps below 0.5 use this value",
    (
        "core/theory/relu.py",
        "moved = np.where(step < 0.5, slow, 1 - (1 - step) ** t)",
        "moved = np.where(step <= 0.5, slow, 1 - (1 - step) ** t)",
    ): "both expressions have the same value at 0.5",
    (
        "core/theory/relu.py",
        "v = penalized(phi_hidden - np.expand_dims(centre, -2), y - np.expand_dims(level, -1), lam)",
        "v = penalized(phi_hidden - np.expand_dims(centre, -2), y + np.expand_dims(level, -1), lam)",
    ): "the left singular vectors of centred features are orthogonal to constants",
    (
        "core/theory/baselines.py",
        "ranks = [0] if least_squares is None else least_squares.rank",
        "ranks = [1] if least_squares is None else least_squares.rank",
    ): "without least squares only the training floor is returned, which does not depend on the rank",
}
"""File, source line and mutated line -> why the mutant changes nothing that a user could see."""


@dataclass(frozen=True)
class Mutant:
    """One change of a file.

    Attributes:
        file: path below src/reluviz.
        line: line number, from 1.
        start, stop: columns of the changed text in its line.
        new: the text that takes its place.
    """

    file: str
    line: int
    start: int
    stop: int
    new: str

    def lines(self) -> tuple[str, str]:
        """Return the line before and after the change."""
        before = (ROOT / SOURCE / self.file).read_text(encoding="utf-8").splitlines()[self.line - 1]
        return before, before[: self.start] + self.new + before[self.stop :]

    def text(self) -> str:
        """Return the whole file after the change."""
        lines = (ROOT / SOURCE / self.file).read_text(encoding="utf-8").splitlines(keepends=True)
        line = lines[self.line - 1]
        lines[self.line - 1] = line[: self.start] + self.new + line[self.stop :]
        return "".join(lines)

    def reason(self) -> str | None:
        """Return why the mutant is equivalent; None if it is not named so."""
        before, after = (line.strip() for line in self.lines())
        return EQUIVALENT.get((self.file, before, after))


def changed_number(text: str) -> str:
    """Return another number: an integer plus one, a float times 1.25, or 1.0 for 0.0."""
    value = ast.literal_eval(text)
    if isinstance(value, int):
        return str(value + 1)
    return repr(1.25 * value) if value else "1.0"


def python_mutants(file: str) -> Iterator[Mutant]:
    """Yield the mutants of a Python file: none in text, annotations, imports, or limits of memory and time."""
    source = (ROOT / SOURCE / file).read_text(encoding="utf-8")
    lines = source.splitlines()
    skipped: set[tuple[int, int]] = set()
    binary: set[tuple[int, int]] = set()

    def skip(node: ast.AST | None) -> None:
        for part in ast.walk(node) if node is not None else ():
            if hasattr(part, "lineno"):
                skipped.add((part.lineno, part.col_offset))

    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and all(
            isinstance(name, ast.Name) and name.id.isupper() for name in node.targets
        ):
            skip(node.value)
        elif isinstance(node, ast.AnnAssign):
            skip(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            # defaults of limits; annotations; sizes of caches
            for decorator in node.decorator_list:
                skip(decorator)
            for argument in (*node.args.args, *node.args.kwonlyargs):
                skip(argument.annotation)
            skip(node.returns)
            for default in (*node.args.defaults, *(one for one in node.args.kw_defaults if one is not None)):
                skip(default)
        if isinstance(node, ast.BinOp):
            binary.add((node.right.lineno, node.right.col_offset))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line, start = token.start
        # ast counts bytes
        column = len(lines[line - 1][:start].encode()) if line <= len(lines) else 0
        if (line, column) in skipped:
            continue
        if token.type == tokenize.NUMBER:
            # NumPy takes any negative length as the one that is left
            if re.search(r"reshape\([^()]*(?:\([^()]*\)[^()]*)*-$", lines[line - 1][:start]):
                continue
            yield Mutant(file, line, start, token.end[1], changed_number(token.string))
        elif token.type == tokenize.OP:
            before, after = lines[line - 1][:start].rstrip(), lines[line - 1][token.end[1] :]
            if token.string in COMPARISONS:
                yield Mutant(file, line, start, token.end[1], COMPARISONS[token.string])
            elif token.string in OPERATORS and before and before[-1] not in "([{,=:" and after[:1] == " ":
                yield Mutant(file, line, start, token.end[1], OPERATORS[token.string])
            elif token.string == "-" and (not before or before[-1] in "([{,=:" or before.endswith("return")):
                # of two axes, -1 and 1 are the same; -1 becomes -2 instead
                if re.match(r"1\b", after):
                    continue
                yield Mutant(file, line, start, token.end[1], "")
            elif token.string in ("+=", "-=", "*=", "/="):
                yield Mutant(file, line, start, token.end[1], OPERATORS[token.string[0]] + "=")


def script_mutants(file: str) -> Iterator[Mutant]:
    """Yield the mutants of a JavaScript file: none in comments, texts and the values of constants."""
    source = (ROOT / SOURCE / file).read_text(encoding="utf-8")
    blank = re.compile(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"|'[^'\n]*'|`[^`]*`|^import[^\n]*", re.DOTALL | re.MULTILINE)
    code = blank.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)
    for number, line in enumerate(code.splitlines(), 1):
        if re.match(r"(?:export )?const [A-Z_]+ = [\d.]+;", line):
            continue
        for found in re.finditer(r"(?<= )(===|!==|>=|<=|>|<|\+|-|\*|/)(?= )", line):
            new = COMPARISONS.get(found[1]) or OPERATORS[found[1]]
            yield Mutant(file, number, *found.span(), new)
        for found in re.finditer(r"(?<![\w.#$])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])", line):
            yield Mutant(file, number, *found.span(), changed_number(found[0]))


def all_mutants(only: str = "") -> list[Mutant]:
    """Return the mutants of all files, in order."""
    found: list[Mutant] = []
    for name in sorted(TESTS if only else SEEDED):
        path = ROOT / SOURCE / name
        files = sorted(path.rglob("*.py")) + sorted(path.rglob("*.js")) if path.is_dir() else [path]
        for each in files:
            file = each.relative_to(ROOT / SOURCE).as_posix()
            if not each.exists() or owner(file) != name or not file.startswith(only.partition(":")[0]):
                continue
            found += script_mutants(file) if file.endswith(".js") else python_mutants(file)
    line = only.partition(":")[2]
    return [mutant for mutant in found if not line or mutant.line == int(line)]


def owner(file: str) -> str:
    """Return the entry of `TESTS` that a file belongs to."""
    return max((name for name in TESTS if file.startswith(name)), key=len)


def copy_project(folder: Path) -> Path:
    """Copy what the tests need into a new folder, and return it."""
    copy = Path(tempfile.mkdtemp(dir=folder))
    for name in ("src", "conf", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def run_tests(copy: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy of the project until the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-p", "no:cacheprovider", *tests.split()]
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


def try_mutant(mutant: Mutant, copies: "Queue[Path]") -> str:
    """Return the first test that fails for a mutant; an empty string if none does."""
    copy = copies.get()
    target = copy / SOURCE / mutant.file
    original = target.read_bytes()
    try:
        target.write_text(mutant.text(), encoding="utf-8")
        # compiled kernels are cached by the second in which their file was changed
        moment = time.time() + random.random()
        os.utime(target, (moment, moment))
        done = run_tests(copy, TESTS[owner(mutant.file)])
        if done.returncode == 0:
            return ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        return failed[1] if failed else f"pytest ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        return "the time limit"
    finally:
        target.write_bytes(original)
        copies.put(copy)


def main() -> int:
    """Draw mutants, try them and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default: 1)")
    parser.add_argument("--count", type=int, default=50, help="number of mutants (default: 50)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tried at a time (default: 2)")
    parser.add_argument("--only", default="", metavar="FILE[:LINE]", help="a file or folder below src/reluviz")
    parser.add_argument("--list", action="store_true", help="print the mutants, and try none")
    options = parser.parse_args()
    sites = all_mutants(options.only)
    drawn = random.Random(options.seed).sample(sites, min(options.count, len(sites)))
    print(f"{len(drawn)} of {len(sites)} mutants, seed {options.seed}", flush=True)
    survivors = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as threads:
        copies: Queue[Path] = Queue()
        for _ in range(0 if options.list else options.jobs):
            copies.put(copy_project(Path(folder)))

        def report(mutant: Mutant) -> tuple[Mutant, str]:
            if options.list:
                return mutant, "not tried"
            reason = mutant.reason()
            return mutant, f"changes nothing: {reason}" if reason else try_mutant(mutant, copies)

        for mutant, outcome in threads.map(report, drawn):
            before, after = (line.strip() for line in mutant.lines())
            survivors += not outcome
            print(f"{mutant.file}:{mutant.line}\n  - {before}\n  + {after}\n  {outcome or 'SURVIVED'}", flush=True)
    print(f"{survivors} of {len(drawn)} survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
