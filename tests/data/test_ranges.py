"""The rules for values, which a configuration and the arguments of a class share."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from reluviz.cli import config
from reluviz.data import EverySchedule, LogSchedule, WithReplacement, file, piecewise_linear, points, ranges, sine
from reluviz.data.datamodule import FileData, PiecewiseLinearData, SegmentData, SineData
from reluviz.data.ranges import Rule, check_value
from reluviz.errors import UserError
from reluviz.models import relu_settings
from reluviz.training import validation

ACCEPTED: dict[str, tuple[Rule, Any, Any]] = {
    "whole number": (ranges.whole_number(1), 3, 3),
    "whole number as a float": (ranges.whole_number(1), 1e5, 100_000),
    "NumPy's whole number": (ranges.whole_number(1), np.int64(3), 3),
    "least and most": (ranges.whole_number(3, 3), 3, 3),
    "a whole number beyond the range of floats": (ranges.whole_number(1), 10**400, 10**400),
    "number": (ranges.number(), -2, -2.0),
    "NumPy's number": (ranges.number(above=0), np.float32(0.5), 0.5),
    "least number": (ranges.number(least=0), 0, 0.0),
    "word": (ranges.one_of("all", "output"), "output", "output"),
    "null": (ranges.optional(ranges.number()), None, None),
    "optional number": (ranges.optional(ranges.number()), 1, 1.0),
    "numbers": (ranges.numbers, [1, 0.5], [1.0, 0.5]),
    "seeds": (ranges.different_seeds(), [5, 0, 2**40], [5, 0, 2**40]),
}
REFUSED: dict[str, tuple[Rule, Any, str]] = {
    "too small": (ranges.whole_number(2), 1, "a whole number of at least 2"),
    "too large": (ranges.whole_number(2, 1e4), 10_001, "a whole number of at least 2 and at most 10,000"),
    "the only one": (ranges.whole_number(1, 1), 2, "1"),
    "fraction": (ranges.whole_number(1), 2.5, "a whole number of at least 1"),
    "nan": (ranges.whole_number(1), math.nan, "a whole number of at least 1"),
    "infinity": (ranges.whole_number(1), math.inf, "a whole number of at least 1"),
    "true": (ranges.whole_number(1), True, "a whole number of at least 1"),
    "NumPy's true": (ranges.whole_number(1), np.True_, "a whole number of at least 1"),
    "text": (ranges.whole_number(1), "3", "a whole number of at least 1"),
    "list": (ranges.whole_number(1), [3], "a whole number of at least 1"),
    "no number": (ranges.number(), "x", "a finite number"),
    "not finite": (ranges.number(), -math.inf, "a finite number"),
    "true as a number": (ranges.number(), True, "a finite number"),
    "below": (ranges.number(least=0), -0.1, "a finite number of at least 0"),
    "not above": (ranges.number(above=0), 0, "a finite number above 0"),
    "not below": (ranges.number(least=0, below=1), 1, "a finite number of at least 0 and below 1"),
    "another word": (ranges.one_of("all", "output"), "both", "one of all, output"),
    "no list": (ranges.numbers, 0.5, "a list of numbers, as in [0.1,0.5]"),
    "an empty list": (ranges.numbers, [], "a list of numbers, as in [0.1,0.5]"),
    "a word in a list": (ranges.numbers, [0.1, "x"], "a finite number"),
    "no column": (ranges.column, "", "the name of a column, or its number from 0"),
    "no points": (ranges.pairs, [], "a list of points x,y, as in [[0,1],[1,3]]"),
    "a point of one number": (ranges.pairs, [[0, 1], [1]], "a list of points x,y, as in [[0,1],[1,3]]; [1] is none"),
    "a point of words": (ranges.pairs, [["a", 1]], "a list of points x,y, as in [[0,1],[1,3]]; ['a', 1] is none"),
    "an infinite point": (ranges.pairs, [[0, math.inf]], "a finite number"),
    "no seeds": (ranges.different_seeds(), [], "a list of different whole numbers, as in [0,5,17]"),
    "equal seeds": (ranges.different_seeds(), [1, 1], "a list of different whole numbers, as in [0,5,17]"),
    "a negative seed": (ranges.different_seeds(9), [-1], "a whole number of at least 0 and at most 9"),
    "a large seed": (ranges.different_seeds(9), [10], "a whole number of at least 0 and at most 9"),
}


@pytest.mark.parametrize(("rule", "value", "wanted"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_rule_returns_a_valid_value_as_a_plain_one(rule: Rule, value: Any, wanted: Any) -> None:
    found = rule(value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(("rule", "value", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_rule_says_what_a_value_must_be(rule: Rule, value: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        rule(value)


def test_the_error_names_the_key_the_value_and_what_it_must_be() -> None:
    assert check_value("data.n", 1e3) == 1000
    with pytest.raises(UserError, match=r"^data\.noise=-1: must be a finite number of at least 0$"):
        check_value("data.noise", -1)
    with pytest.raises(UserError, match=r"^data\.noise=null: must be a finite number of at least 0$"):
        check_value("data.noise", None)


# key -> overrides with a value that is out of range, and a call with the same value
OUT_OF_RANGE: dict[str, tuple[str, Callable[[], Any]]] = {
    "updates": ("updates=0", lambda: SegmentData(piecewise_linear(), updates=0)),
    "data.n": ("data.n=1", lambda: piecewise_linear(n=1)),
    "data.noise": ("data.noise=-0.5", lambda: PiecewiseLinearData(noise=-0.5)),
    "data.seed": ("data=sine data.seed=-1", lambda: sine(seed=-1)),
    "data.x": ("data=file data.x=true", lambda: file("a.csv", x=True)),
    "data.y": ("data=file data.y=[1]", lambda: FileData("a.csv", y=[1])),  # type: ignore[arg-type]
    "data.decimal": ("data=file data.decimal=dot", lambda: FileData("a.csv", decimal="dot")),
    "data.points": ("data=points data.points=[[0,1],[1]]", lambda: points([[0, 1], [1]])),
    "data.scale": ("data=file data.scale=0.5", lambda: FileData("a.csv", scale="0.5")),
    "sampler.batch_size": ("sampler.batch_size=0", lambda: SineData(sampler=WithReplacement(0))),
    "snapshots.every": ("snapshots.every=0", lambda: EverySchedule(0)),
    "snapshots.per_decade": ("snapshots=log snapshots.per_decade=0", lambda: LogSchedule(per_decade=0)),
}


@pytest.mark.parametrize("key", ranges.RULES)
def test_a_configuration_and_a_call_are_refused_in_the_same_words(key: str) -> None:
    overrides, call = OUT_OF_RANGE[key]
    with pytest.raises(UserError) as in_configuration:
        validation.check(config.without_hydra(config.compose_checked(overrides.split())))
    with pytest.raises(UserError) as in_call:
        call()
    assert str(in_configuration.value) == str(in_call.value)
    assert str(in_call.value).startswith(f"{key}=")


def test_a_configuration_has_the_rules_of_data_and_of_the_network_and_no_second_ones() -> None:
    for rules in (ranges.RULES, relu_settings.RULES):
        assert rules.items() <= validation.RULES.items()
    assert not ranges.RULES.keys() & relu_settings.RULES.keys()


def test_values_of_numpy_are_stored_as_plain_ones() -> None:
    assert type(EverySchedule(np.int64(5)).every) is int
    assert type(SegmentData(piecewise_linear(n=np.int64(9)), updates=1e3).updates) is int  # type: ignore[arg-type]
    assert OmegaConf.to_container(OmegaConf.create({"every": EverySchedule(np.int64(5)).every})) == {"every": 5}
