import re

import pytest

from reluviz.cli.command_line import FLAGS, INFO_VALUES, split
from reluviz.cli.config import job_folder_name, parse
from reluviz.errors import UserError


def error_of(words: list[str]) -> str:
    """Return the one-line error for a command line."""
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
    assert not arguments.prints_only


def test_overrides_and_flags_each_keep_their_order() -> None:
    arguments = split(["a=1", "--cfg", "job", "~b", "--resolve", "++c=3", "-p", "model"])
    assert arguments.flags == ["--cfg", "job", "--resolve", "-p", "model"]
    assert arguments.overrides == ["a=1", "~b", "++c=3"]


def test_an_empty_command_line_has_no_flags_and_no_overrides() -> None:
    arguments = split([])
    assert (arguments.flags, arguments.overrides, arguments.multirun, arguments.prints_only) == ([], [], False, False)


@pytest.mark.parametrize("flag", ["--multirun", "-m"])
def test_both_spellings_of_multirun_are_recognized(flag: str) -> None:
    assert split([flag]).multirun
    assert not split(["--run"]).multirun


@pytest.mark.parametrize("flag", ["--info", "-i"])
def test_the_value_of_info_is_optional_and_an_override_is_not_its_value(flag: str) -> None:
    assert split([flag, "+exp=relu"]).flags == [flag, "all"]
    assert split([flag, "+exp=relu"]).overrides == ["+exp=relu"]
    assert split(["+exp=relu", flag]).flags == [flag, "all"]
    assert split([f"{flag}=config", "a=1"]).flags == [f"{flag}=config"]
    for value in INFO_VALUES:
        assert split([flag, value, "a=1"]).flags == [flag, value]
        assert split([flag, value, "a=1"]).overrides == ["a=1"]


@pytest.mark.parametrize("flag", [flag for flag, values in FLAGS.items() if values])
def test_the_value_of_a_flag_is_the_next_word_or_the_text_after_its_equals_sign(flag: str) -> None:
    assert split(["a=1", flag, "job", "b=2"]).flags == [flag, "job"]
    assert split(["a=1", flag, "job", "b=2"]).overrides == ["a=1", "b=2"]
    assert split([f"{flag}=job", "b=2"]).flags == [f"{flag}=job"]
    assert split([f"{flag}=job", "b=2"]).overrides == ["b=2"]


@pytest.mark.parametrize("flag", [flag for flag, values in FLAGS.items() if values])
def test_a_flag_without_its_value_is_refused(flag: str) -> None:
    assert error_of(["+exp=relu", flag]) == f"{flag}: needs a value"


@pytest.mark.parametrize(
    ("word", "near"),
    [("--mutlirun", "--multirun"), ("--config", "--config-dir"), ("--inf", "--info"), ("--halp", "--help")],
)
def test_an_unknown_flag_is_refused_with_the_most_similar_one(word: str, near: str) -> None:
    assert error_of(["+exp=relu", word]) == f"{word}: there is no such option; did you mean {near}?"


def test_an_unknown_flag_that_is_similar_to_no_other_is_refused() -> None:
    assert error_of(["--zzzzzzzz=5"]) == "--zzzzzzzz=5: there is no such option"


@pytest.mark.parametrize(
    "word", ["--cfg=job", "-c=job", "--info", "-i=all", "--help", "-h", "--hydra-help", "--version"]
)
def test_a_flag_that_only_prints_is_recognized(word: str) -> None:
    assert split(["+exp=relu", word]).prints_only


def test_exp_means_plus_exp() -> None:
    for text in ("exp=relu", "+exp=relu"):
        (override,) = parse([text])
        assert override.input_line == "+exp=relu"
        assert (override.key_or_group, override.value()) == ("exp", "relu")
        assert override.is_add()
    # a key that only begins with exp stays unchanged
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
def test_values_are_parsed_as_hydra_parses_them(text: str, value: object) -> None:
    (override,) = parse([text])
    assert override.value() == value


@pytest.mark.parametrize("text", ["lr", "a b", "a=b=c", "a=[1", "a={", "a='b", "é=1", "", "exp", "+exp", "a=$(b)"])
def test_a_text_that_is_not_an_override_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(["seed=1", text])
    assert str(caught.value).startswith(f"{text}: is not of the form key=value")
    assert "\n" not in str(caught.value)


def test_the_folders_of_a_sweep_are_named_after_the_values_that_vary() -> None:
    assert job_folder_name(["model.width=10", "seed=0"], []) == "width-10_seed-0"
    assert job_folder_name(["model.width=10", "seed=0"], ["seed"]) == "width-10"
    assert job_folder_name(["+exp=relu", "optimizer.lr=0.1"], []) == "exp-relu_lr-0.1"
    assert job_folder_name(["model.start=-1"], []) == "start--1"
    assert job_folder_name(["seed=0"], ["seed"]) == "job"
    assert job_folder_name([], []) == "job"


def test_keys_with_the_same_ending_are_written_in_full() -> None:
    assert job_folder_name(["data.seed=1", "seed=2"], []) == "data.seed-1_seed-2"


VALUES = [
    "1", "-1", "1-", "1.", ".1", "1e-3", "1e+3", "", "..", ".", "-", "[0.1,0.2]", "[0.1, 0.2]", "0.1-0.2", "a=b", "a,b",
    "a-b", "a_b", "a b", "'a b'", "/a/b.csv", "/a_b.csv", "../a/b.csv", "a/b.csv", "~/a.csv", "C:\\a.csv", "été",
    "with_replacement", "with-replacement", "{a:1}", "${updates}", "null", "a\tb",
]  # fmt: skip


def test_different_values_have_different_folder_names() -> None:
    names = [job_folder_name([f"model.x={value}"], []) for value in VALUES]
    assert len(set(names)) == len(VALUES)


@pytest.mark.parametrize("value", VALUES)
def test_a_folder_name_can_be_used_in_an_override(value: str) -> None:
    name = job_folder_name([f"model.x={value}", f"data.path={value}"], [])
    assert re.fullmatch(r"[A-Za-z0-9._+-]+", name)
    (override,) = parse([f"ckpt_path=logs/sweeps/2024-01-01_00-00-00/{name}/checkpoints"])
    assert override.value() == f"logs/sweeps/2024-01-01_00-00-00/{name}/checkpoints"


@pytest.mark.parametrize("words", [["--cfg", "-m"], ["-c", "+exp=relu"], ["--cfg=jobs"], ["--info=nothing"]])
def test_a_wrong_value_of_a_flag_is_refused_with_the_right_ones(words: list[str]) -> None:
    assert re.search(r": must be one of (all|job), ", error_of(words))
