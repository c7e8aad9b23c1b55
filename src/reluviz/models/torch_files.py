"""Read files of torch.save that may be damaged or made to do harm, and compare what they hold with what is needed."""

import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reluviz.files import MAX_DEPTH


def load_torch_file(path: str | os.PathLike[str]) -> Any:
    """Return what a file of torch.save holds. Code in the file is not run.

    Raises:
        ValueError: if the file is damaged, holds code, or would take much more memory than its size; says which.
    """
    size = os.path.getsize(path)
    if zipfile.is_zipfile(path):
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # a damaged file can raise any exception in torch's reader
        raise ValueError("torch cannot read it") from error
    _check_size(loaded, size)
    return loaded


def difference(found: Any, wanted: Any, place: str = "") -> str | None:
    """Return in a few words where a value differs in kind from the one that is needed; None if it does not.

    Mappings must have the keys that are needed, lists and tuples the length, tensors the shape, and fractions where
    fractions are needed. A number may stand in place of None, which marks one that is not known yet.

    Args:
        found: the value; further keys of mappings are ignored.
        wanted: a value of the kind that is needed.
        place: where both stand.
    """
    if isinstance(wanted, Tensor):
        if not isinstance(found, Tensor):
            return f"{place} is no tensor"
        has, needs = (f"shape {tuple(one.shape)} of {_kind(one)}" for one in (found, wanted))
        return None if has == needs else f"{place} has {has}, and {needs} is needed"
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return f"{place} is no mapping"
        pairs = [(_join(place, key), found.get(key, _MISSING), value) for key, value in wanted.items()]
    elif isinstance(wanted, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(wanted):
            return f"{place} is no list of {len(wanted)}"
        pairs = [(f"{place}[{i}]", found[i], value) for i, value in enumerate(wanted)]
    elif found is _MISSING:
        return f"{place} is missing"
    else:
        return None if _is_like(found, wanted) else f"{place} is {found!r:.40}"
    missing = next((name for name, value, _ in pairs if value is _MISSING), None)
    if missing is not None:
        return f"{missing} is missing"
    return next(filter(None, (difference(value, needed, name) for name, value, needed in pairs)), None)


def state_difference(found: Any, module: torch.nn.Module) -> str | None:
    """Return in a few words why a module cannot load a state_dict; None if it can."""
    wanted = module.state_dict()
    if isinstance(found, Mapping) and (extra := [str(key)[:40] for key in found if key not in wanted]):
        return f"state_dict.{extra[0]} is no part of this model"
    return difference(found, wanted, "state_dict")


_MISSING = object()


def _kind(tensor: Tensor) -> str:
    return "fractions" if tensor.is_floating_point() else "whole numbers"


def _is_like(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or not isinstance(wanted, int | float | None):
        return isinstance(found, type(wanted))
    if wanted is None:
        return isinstance(found, int | float | None)
    if isinstance(wanted, int):
        return type(found) is int or (isinstance(found, float) and found.is_integer())
    return type(found) in (int, float)


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)


def _check_archive(path: str | os.PathLike[str], size: int) -> None:
    """Check an archive of torch.save: its files are stored as they are, and their checksums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
            stored = all(one.compress_type == zipfile.ZIP_STORED for one in files)
            if not stored or sum(one.file_size for one in files) > size:
                raise ValueError("it is compressed, which torch.save does not do")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError("its archive is damaged") from error
    if damaged is not None:
        raise ValueError(f"the checksum of {Path(damaged).name} in it is wrong")


def _check_size(loaded: Any, size: int) -> None:
    """Check that values take no more memory than a file of this size can hold, with each value counted wherever it is.

    A tensor can be larger than its bytes (strides of 0, sparse tensors), and lists can hold one list many times.
    """
    level, count = [loaded], 0
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, Tensor):
                dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
                if not dense or value.is_nested or value.is_complex():
                    raise ValueError("a tensor in it is not one of plain real numbers (sparse, meta, quantized, ...)")
                if value.numel() * value.element_size() > size:
                    raise ValueError(f"a tensor of shape {tuple(value.shape)} in it is larger than the file")
            elif isinstance(value, Mapping):
                inside += [*value.keys(), *value.values()]
            elif isinstance(value, list | tuple | set | frozenset):
                inside += value
            if count + len(inside) > size:
                raise ValueError("it holds the same values too often")
        count += len(inside)
        if not inside:
            return
        level = inside
    raise ValueError("it is nested too deeply")
