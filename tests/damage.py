"""Damage to checkpoints and run folders, drawn at random from many kinds, for the tests that read them."""

import json
import os
import random
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event

from reluviz.record.event_file import masked_checksum, read_events

Random = random.Random


# Bytes of any file


def flip_bits(rng: Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 50])):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut_off(rng: Random, path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])


def cut_out(rng: Random, path: Path) -> None:
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    path.write_bytes(data[:start] + data[start + rng.randrange(1, 200) :])


def zeros_within(rng: Random, path: Path) -> None:
    data = path.read_bytes()
    start = rng.randrange(len(data) + 1)
    path.write_bytes(data[:start] + bytes(300) + data[start + 300 :])


def noise(rng: Random, path: Path) -> None:
    path.write_bytes(rng.randbytes(rng.choice([0, 1, 100, 5000])))


def appended(rng: Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randrange(1, 500)))


def doubled(rng: Random, path: Path) -> None:
    path.write_bytes(2 * path.read_bytes())


BYTES = [flip_bits, flip_bits, cut_off, cut_out, zeros_within, noise, appended, doubled]


# Kinds of files


def removed(rng: Random, path: Path) -> None:
    path.unlink()


def a_folder(rng: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_itself(rng: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def a_pipe(rng: Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def unreadable(rng: Random, path: Path) -> None:
    path.chmod(0)


def renamed(rng: Random, path: Path) -> None:
    path.rename(path.with_name(rng.choice(["other", ".hidden", f"{path.name}.bak", "events.out.tfevents.x"])))


KINDS = [removed, a_folder, renamed, *([a_link_to_itself, a_pipe, unreadable] if os.name == "posix" else [])]


# Text


def aliases(opening: str = "x: ") -> str:
    """YAML whose content grows tenfold with each line."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join([*lines, f"{opening}*a11", ""])


YAML_TEXTS = [
    aliases(),
    "x: " + "[" * 5000 + "]" * 5000 + "\n",
    "x: " + "{a: " * 2000 + "1" + "}" * 2000 + "\n",
    "- " * 3000 + "1\n",
    "x: " + "9" * 5000 + "\n",
    "x: !!python/object/apply:os.system [true]\n",
    "x: !!binary '####'\n",
    "x: !!timestamp 9999-99-99\n",
    "? [a, b]\n: 1\n",
    "x: ${x}\n",
    "a: ${b}\nb: ${a}\n",
    "".join(f"a{i}: '{f'${{a{i + 1}}}' * 9}'\n" for i in range(30)) + "a30: x\n",
    "x: ${\n",
    "x: ${oc.env:HOME}${nothing:}\n",
    "x: ???\n",
    "<<: 1\n",
    "a: 1\na: 2\n",
    "%YAML 9.9\n---\nx: 1\n",
    "\tx: 1\n",
    "--- 1\n--- 2\n",
    "null\n",
    "- 1\n",
    "text\n",
    "x: \x00\n",
    "\ufeffx: 1\n",
]
JSON_TEXTS = [
    "[" * 5000 + "]" * 5000,
    '{"a": ' * 900 + "1" + "}" * 900,
    '{"status": "finished", "updates": 1e999, "seeds": [0], "loss/train": [1], "loss/test": [1]}',
    '{"status": "finished", "updates": 40, "seeds": [' + "9" * 4000 + '], "loss/train": [1], "loss/test": [1]}',
    '{"status": ["finished"], "updates": {}, "seeds": {"0": 1}, "loss/train": "x", "loss/test": null}',
    '{"status": "\\ud800", "updates": 40, "seeds": [0], "loss/train": [NaN], "loss/test": [1]}',
    "9" * 5000,
    "[1, 2",
    "null",
    "NaN",
    '"text"',
    "",
]


def other_yaml(rng: Random, path: Path) -> None:
    text = rng.choice(YAML_TEXTS)
    path.write_text(path.read_text("utf-8") + text if rng.random() < 0.5 else text, "utf-8")


def other_json(rng: Random, path: Path) -> None:
    path.write_text(rng.choice(JSON_TEXTS), "utf-8")


def other_line(rng: Random, path: Path) -> None:
    """Change the value, the key or the indentation of one line of YAML or JSON."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    at = rng.randrange(len(lines))
    values = [
        "null",
        "-1",
        "1e400",
        ".nan",
        "'text'",
        "[]",
        "{}",
        "[1, 2]",
        "99999999999999999999",
        "true",
        "${seed}",
        "",
    ]
    key = lines[at].partition(":")[0]
    lines[at] = rng.choice(
        ["", lines[at] * 2, f"  {lines[at]}", lines[at].lstrip(), *[f"{key}: {rng.choice(values)}\n" for _ in range(8)]]
    )
    path.write_text("".join(lines), "utf-8")


# Events with right checksums


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked_checksum(length) + data + masked_checksum(data)


def a_huge_length(rng: Random, path: Path) -> None:
    length = struct.pack("<Q", rng.choice([2**40, 2**63, 2**64 - 1]))
    path.write_bytes(path.read_bytes() + length + masked_checksum(length) + b"x")


def _set_shape(rng: Random, event: Event) -> None:
    sizes: list[list[int]] = [[10**12], [10**6, 10**6], [10**12, 0], [-1], [2**62, 2**62], [3, 5], [], [0]]
    for value in event.summary.value:
        if value.HasField("tensor"):
            del value.tensor.tensor_shape.dim[:]
            for size in rng.choice(sizes):
                value.tensor.tensor_shape.dim.add(size=size)
            if rng.random() < 0.5:
                value.tensor.ClearField("tensor_content")
                (value.tensor.float_val if value.tensor.dtype == 1 else value.tensor.double_val).append(1.0)


def _set_type(rng: Random, event: Event) -> None:
    for value in event.summary.value:
        if value.HasField("tensor"):
            value.tensor.dtype = rng.choice([0, 1, 2, 3, 7, 8, 9, 10, 19, 20])


def _set_bytes(rng: Random, event: Event) -> None:
    for value in event.summary.value:
        if value.HasField("tensor"):
            content = value.tensor.tensor_content
            value.tensor.tensor_content = rng.choice([content[:-1], content[:-8], content * 2, b"", rng.randbytes(64)])
            if rng.random() < 0.3:
                value.tensor.string_val.append(rng.randbytes(10))


CONTENTS: list[Any] = [
    b"",
    b"\xff",
    b"[" * 5000 + b"]" * 5000,
    b"null",
    b"[]",
    b'{"fields": 3}',
    b'{"fields": [["x", 1e999]]}',
    b'{"fields": [["x", -5], ["y", 10]]}',
    b'{"fields": [["x", 1000000000000], ["y", 1]]}',
    b'{"fields": [[]], "seeds": 7, "model": NaN, "settings": {"a": {"b": [1e999]}}}',
]


def _set_content(rng: Random, event: Event) -> None:
    for value in event.summary.value:
        raw = value.metadata.plugin_data.content
        if not raw:
            continue
        try:
            held = json.loads(raw)
            key = rng.choice(sorted(held))
            held[key] = rng.choice(
                [
                    None,
                    [],
                    {},
                    "x",
                    -1,
                    1e400,
                    float("nan"),
                    [[["x", 2]]],
                    10**30,
                    {"a": [float("inf")]},
                    "\ud800",
                    [1] * 50,
                ]
            )
            changed = json.dumps(held).encode()
        except (ValueError, TypeError, IndexError):
            changed = b""
        value.metadata.plugin_data.content = rng.choice([changed, changed, changed, rng.choice(CONTENTS)])


def _set_step(rng: Random, event: Event) -> None:
    event.step = rng.choice([-1, -(2**63), 2**63 - 1, 0, 7])


def _set_time(rng: Random, event: Event) -> None:
    event.wall_time = rng.choice([float("nan"), float("inf"), -1.0, 1e300, 0.0])


def _set_tag(rng: Random, event: Event) -> None:
    tags = ["reluviz/data", "reluviz/params", "reluviz/votes", "reluviz/findings", "reluviz/replicas", "loss/train", ""]
    for value in event.summary.value:
        value.tag = rng.choice(tags)


def _set_scalar(rng: Random, event: Event) -> None:
    for value in event.summary.value:
        if value.WhichOneof("value") == "simple_value":
            value.simple_value = rng.choice([float("nan"), float("inf"), -1e38])


def _remove(rng: Random, event: Event) -> None:
    event.ClearField("summary")


def other_events(rng: Random, path: Path) -> None:
    change = rng.choice(
        [_set_shape, _set_type, _set_bytes, _set_content, _set_step, _set_time, _set_tag, _set_scalar, _remove]
    )
    events = list(read_events(path))
    chosen = range(len(events)) if rng.random() < 0.3 else {rng.randrange(len(events)) for _ in range(5)} | {1, 2}
    for at in chosen:
        if at < len(events):
            change(rng, events[at])
    if rng.random() < 0.2:
        rng.shuffle(events)
    path.write_bytes(b"".join(record(event.SerializeToString()) for event in events))


# Checkpoints


def _leaves(node: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """All (container, key) of nested mappings and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        found.append((node, key))
        _leaves(value, found)
    return found


def other_values(rng: Random, old: Any) -> Any:
    plain: list[Any] = [None, -1, 2**62, 1e400, float("nan"), "text", [], {}, (1, 2), [1] * 3, True, {"a": 1}]
    if isinstance(old, torch.Tensor):
        real = old.double()
        tensors: list[Callable[[], Any]] = [
            lambda: real.to_sparse() if real.dim() else real,
            lambda: torch.empty(10**6, 10**6, device="meta"),
            lambda: torch.empty_like(old, device="meta"),
            lambda: real.to(torch.complex64),
            lambda: torch.quantize_per_tensor(real.float(), 0.1, 0, torch.quint8),
            lambda: torch.full_like(real, torch.nan),
            lambda: torch.zeros(1).expand(10**7, 10**5),
            lambda: torch.zeros(7, 3),
            lambda: old[None],
            lambda: old.reshape(-1)[:0],
            lambda: old.bool(),
            lambda: old.to(torch.int64),
            lambda: old.to(torch.bfloat16),
            lambda: torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1), (10**12,)),
        ]
        return rng.choice(tensors)() if rng.random() < 0.8 else rng.choice(plain)
    return rng.choice(plain)


def other_part(rng: Random, path: Path) -> None:
    """Remove, add, rename or change one part of a checkpoint."""
    loaded = torch.load(path, weights_only=True)
    places = _leaves(loaded, [])
    top = [place for place in places if place[0] is loaded or place[0] is loaded.get("state_dict")]
    node, key = rng.choice(places if rng.random() < 0.7 else top)
    how = rng.choice(["remove", "add", "change", "change", "change", "share", "nest"])
    if how == "remove":
        del node[key]
    elif how == "add":
        if isinstance(node, dict):
            node["extra"] = rng.choice([1, torch.zeros(3), {"a": 1}])
        else:
            node.append(rng.choice([1, None, torch.zeros(3)]))
    elif how == "change":
        node[key] = other_values(rng, node[key])
    elif how == "share":
        shared: Any = [1] * 10
        for _ in range(12):
            shared = [shared] * 10
        node[key] = shared
    else:
        deep: Any = 1
        for _ in range(300):
            deep = [deep]
        node[key] = deep
    torch.save(loaded, path)


def packed(rng: Random, path: Path) -> None:
    """Compress the archive, or have one of its files unpack to a hundred times its size."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if rng.random() < 0.5:
        name = rng.choice(sorted(files))
        files[name] += bytes(10**7)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def other_archive(rng: Random, path: Path) -> None:
    """Remove, rename or change a file of the archive, with right checksums."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(files))
    data = bytearray(files.pop(name))
    how = rng.choice(["remove", "rename", "flip", "flip", "flip", "cut"])
    if how == "flip" and data:
        for _ in range(rng.choice([1, 1, 5])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        files[name] = bytes(data)
    elif how == "cut":
        files[name] = bytes(data[: len(data) // 2])
    elif how == "rename":
        files[f"{name}x"] = bytes(data)
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in files.items():
            archive.writestr(key, value)


CHECKPOINTS = [*BYTES, *[other_part] * 14, packed, other_archive, other_archive, other_archive, *KINDS]


def damage_checkpoint(rng: Random, path: Path) -> str:
    """Damage a checkpoint in one way, and return the name of the way."""
    how = rng.choice(CHECKPOINTS)
    how(rng, path)
    return how.__name__


def damage_run(rng: Random, folder: Path) -> str:
    """Damage a run's folder in one or two ways, and return their names."""
    return ", ".join(_damage_one_file(rng, folder) for _ in range(rng.choice([1, 1, 2])))


def _damage_one_file(rng: Random, folder: Path) -> str:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink() and _readable(path)]
    if not files:
        return "nothing left"
    if rng.random() < 0.08:
        one, other = rng.choice(files), rng.choice(files)
        data = one.read_bytes(), other.read_bytes()
        one.write_bytes(data[1])
        other.write_bytes(data[0])
        return f"swapped {one.name} and {other.name}"
    if rng.random() < 0.05:
        gone = rng.choice([folder / ".hydra", folder / "checkpoints"])
        shutil.rmtree(gone, ignore_errors=True)
        return f"removed {gone.name}"
    groups = {"events": [], "yaml": [], "json": [], "ckpt": [], "other": []}  # type: dict[str, list[Path]]
    for path in files:
        kind = "events" if path.name.startswith("events.") else path.suffix.lstrip(".")
        groups[kind if kind in groups else "other"].append(path)
    kind = rng.choice([*["events"] * 4, *["yaml"] * 3, "json", "json", "ckpt"])
    path = rng.choice(groups[kind] or files)
    ways: dict[str, list[Callable[[Random, Path], None]]] = {
        "events": [*BYTES, *[other_events] * 14, a_huge_length, a_huge_length, *KINDS],
        "yaml": [*BYTES, *[other_yaml] * 10, *[other_line] * 10, *KINDS],
        "json": [*BYTES, *[other_json] * 10, *[other_line] * 6, *KINDS],
        "ckpt": [*CHECKPOINTS],
        "other": [*BYTES, *KINDS],
    }
    how = rng.choice(ways[kind] if path in groups[kind] else BYTES)
    try:
        how(rng, path)
    except Exception as error:
        # a second change may not be possible after the first one
        return f"{how.__name__} of {path.name} not possible ({type(error).__name__})"
    return f"{how.__name__} of {path.name}"


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK) and bool(path.stat().st_mode & 0o400)


def contents(folder: Path) -> dict[str, bytes | str]:
    """What a folder holds: the bytes of its files, the kinds of everything else."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link {os.readlink(path)}"
        else:
            found[name] = path.read_bytes() if path.is_file() else f"mode {path.lstat().st_mode}"
    return found


def peak_memory() -> float:
    """Return the most memory that this process has taken so far, in bytes."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
