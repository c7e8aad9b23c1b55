import re

import pytest

from reluviz.cli.command_line import FLAGS, INFO, split
from reluviz.cli.config import parse, varies
from reluviz.errors import UserError


def said(words: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        split(words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "+exp=relu", "seed=0,1"],
        ["+exp=relu", "-m", "seed=0,1"],
        ["+exp=relu", "seed=0,1", "-m"],
    ],
)
def test_a_flag_may_stand_anywhere(words: list[str]) -> None:
    arguments = split(words)
    assert arguments.flags == ["-m"]
    assert arguments.overrides == ["+exp=relu", "seed=0,1"]
    assert arguments.multirun
    assert not arguments.tells


def test_overrides_and_flags_each_keep_their_order() -> None:
    arguments = split(["a=1", "--cfg", "job", "~b", "--resolve", "++c=3", "-p", "model"])
    assert arguments.flags == ["--cfg", "job", "--resolve", "-p", "model"]
    assert arguments.overrides == ["a=1", "~b", "++c=3"]


def test_nothing_is_nothing() -> None:
    arguments = split([])
    assert (arguments.flags, arguments.overrides, arguments.multirun, arguments.tells) == ([], [], False, False)


@pytest.mark.parametrize("flag", ["--multirun", "-m"])
def test_both_spellings_of_multirun_count(flag: str) -> None:
    assert split([flag]).multirun
    assert not split(["--run"]).multirun


@pytest.mark.parametrize("flag", ["--info", "-i"])
def test_the_value_of_info_is_optional_and_never_an_override(flag: str) -> None:
    assert split([flag, "+exp=relu"]).flags == [flag, "all"]
    assert split([flag, "+exp=relu"]).overrides == ["+exp=relu"]
    assert split(["+exp=relu", flag]).flags == [flag, "all"]
    assert split([f"{flag}=config", "a=1"]).flags == [f"{flag}=config"]
    for value in INFO:
        assert split([flag, value, "a=1"]).flags == [flag, value]
        assert split([flag, value, "a=1"]).overrides == ["a=1"]


@pytest.mark.parametrize("flag", [flag for flag, values in FLAGS.items() if values])
def test_a_flag_with_a_value_takes_the_next_word_or_what_follows_its_equals_sign(flag: str) -> None:
    assert split(["a=1", flag, "job", "b=2"]).flags == [flag, "job"]
    assert split(["a=1", flag, "job", "b=2"]).overrides == ["a=1", "b=2"]
    assert split([f"{flag}=job", "b=2"]).flags == [f"{flag}=job"]
    assert split([f"{flag}=job", "b=2"]).overrides == ["b=2"]


@pytest.mark.parametrize("flag", [flag for flag, values in FLAGS.items() if values])
def test_a_flag_that_lacks_its_value_is_refused(flag: str) -> None:
    assert said(["+exp=relu", flag]) == f"{flag}: needs a value"


@pytest.mark.parametrize(
    ("word", "near"),
    [("--mutlirun", "--multirun"), ("--config", "--config-dir"), ("--inf", "--info"), ("--halp", "--help")],
)
def test_an_unknown_flag_is_named_with_the_nearest(word: str, near: str) -> None:
    assert said(["+exp=relu", word]) == f"{word}: there is no such option; did you mean {near}?"


def test_an_unknown_flag_like_no_other_is_named() -> None:
    assert said(["--zzzzzzzz=5"]) == "--zzzzzzzz=5: there is no such option"


@pytest.mark.parametrize(
    "word", ["--cfg=job", "-c=job", "--info", "-i=all", "--help", "-h", "--hydra-help", "--version"]
)
def test_what_only_prints_trains_nothing(word: str) -> None:
    assert split(["+exp=relu", word]).tells


def test_exp_stands_for_plus_exp() -> None:
    for text in ("exp=relu", "+exp=relu"):
        (override,) = parse([text])
        assert override.input_line == "+exp=relu"
        assert (override.key_or_group, override.value()) == ("exp", "relu")
        assert override.is_add()
    # not what merely begins with exp
    (override,) = parse(["exponent=2"])
    assert override.input_line == "exponent=2"
    assert not override.is_add()


def test_several_choices_of_exp_are_a_sweep() -> None:
    (override,) = parse(["exp=relu,ridge"])
    assert override.is_sweep_override()
    assert list(override.sweep_string_iterator()) == ["relu", "ridge"]


@pytest.mark.parametrize(
    ("text", "value"), [("a=1e-3", 1e-3), ("a=[1,2]", [1, 2]), ("a=true", True), ("a=null", None), ("a=", "")]
)
def test_values_are_parsed_as_hydra_does(text: str, value: object) -> None:
    (override,) = parse([text])
    assert override.value() == value


@pytest.mark.parametrize("text", ["lr", "a b", "a=b=c", "a=[1", "a={", "a='b", "é=1", "", "exp", "+exp", "a=$(b)"])
def test_what_is_no_override_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(["seed=1", text])
    assert str(caught.value).startswith(f"{text}: is not of the form key=value")
    assert "\n" not in str(caught.value)


def test_a_sweep_s_folders_are_named_for_what_varies() -> None:
    assert varies(["model.width=10", "seed=0"], []) == "width-10_seed-0"
    assert varies(["model.width=10", "seed=0"], ["seed"]) == "width-10"
    assert varies(["+exp=relu", "optimizer.lr=0.1"], []) == "exp-relu_lr-0.1"
    assert varies(["model.start=-1"], []) == "start--1"
    assert varies(["seed=0"], ["seed"]) == "job"
    assert varies([], []) == "job"


def test_keys_with_the_same_ending_are_told_apart() -> None:
    assert varies(["data.seed=1", "seed=2"], []) == "data.seed-1_seed-2"


VALUES = [
    "1", "-1", "1-", "1.", ".1", "1e-3", "1e+3", "", "..", ".", "-", "[0.1,0.2]", "[0.1, 0.2]", "0.1-0.2", "a=b", "a,b",
    "a-b", "a_b", "a b", "'a b'", "/a/b.csv", "/a_b.csv", "../a/b.csv", "a/b.csv", "~/a.csv", "C:\\a.csv", "été",
    "with_replacement", "with-replacement", "{a:1}", "${updates}", "null", "a\tb",
]  # fmt: skip


def test_different_values_have_different_folders() -> None:
    names = [varies([f"model.x={value}"], []) for value in VALUES]
    assert len(set(names)) == len(VALUES)


@pytest.mark.parametrize("value", VALUES)
def test_a_folder_s_name_is_a_name_that_hydra_takes_back(value: str) -> None:
    name = varies([f"model.x={value}", f"data.path={value}"], [])
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", name)
    (override,) = parse([f"ckpt_path=logs/sweeps/2024-01-01_00-00-00/{name}/checkpoints"])
    assert override.value() == f"logs/sweeps/2024-01-01_00-00-00/{name}/checkpoints"


@pytest.mark.parametrize("words", [["--cfg", "-m"], ["-c", "+exp=relu"], ["--cfg=jobs"], ["--info=nothing"]])
def test_a_value_that_a_flag_does_not_know_is_refused_with_those_it_knows(words: list[str]) -> None:
    assert re.search(r": must be one of (all|job), ", said(words))
