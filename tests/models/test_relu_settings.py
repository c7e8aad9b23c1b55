"""The settings of a ReLU network are checked without torch, in the same words as by `ReLUModule`."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from reluviz.core.initial_state import ELBOW_PLACEMENTS
from reluviz.errors import UserError
from reluviz.files import conf_folder
from reluviz.models import ReLUModule
from reluviz.models.relu_settings import TRAIN, ReLUSettings, check_settings

SETTINGS: dict[str, Any] = {"width": 2, "elbows": "uniform", "positions": None, "train": "all", "ridge": 1e-5}
WRONG: dict[str, dict[str, Any]] = {
    "width": {"width": 0},
    "fraction": {"width": 2.5},
    "elbows": {"elbows": "odd"},
    "train": {"train": "none"},
    "ridge": {"ridge": -1},
    "ridge not finite": {"ridge": float("nan")},
    "no positions": {"elbows": "given"},
    "positions without given": {"positions": [0.1, 0.2]},
    "an empty list": {"elbows": "given", "positions": []},
    "too few positions": {"elbows": "given", "positions": [0.1]},
    "a position that is not finite": {"elbows": "given", "positions": [0.1, float("inf")]},
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_the_module_refuses_in_the_words_of_the_check(changed: dict[str, Any]) -> None:
    with pytest.raises(UserError) as in_check:
        check_settings(**SETTINGS | changed)
    with pytest.raises(UserError) as in_module:
        ReLUModule(**SETTINGS | changed)
    assert str(in_check.value) == str(in_module.value)
    assert "\n" not in str(in_check.value)


def test_values_of_numpy_become_plain_ones_which_a_checkpoint_can_store() -> None:
    given = {"width": np.int64(2), "elbows": "given", "positions": np.array([0.5, 0.25]), "ridge": np.float32(0.5)}
    assert check_settings(**SETTINGS | given) == ReLUSettings(2, "given", [0.5, 0.25], "all", 0.5)
    hparams = ReLUModule(**SETTINGS | given).hparams
    assert [type(hparams[name]) for name in ("width", "positions", "ridge")] == [int, list, float]
    assert hparams["width"] == 2
    assert hparams["positions"] == [0.5, 0.25]


def test_the_check_needs_no_torch() -> None:
    code = "import sys; from reluviz.models.relu_settings import check_settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("key", "words"), [("elbows", ELBOW_PLACEMENTS), ("train", TRAIN)])
def test_the_comments_of_conf_list_every_word(key: str, words: Any) -> None:
    text = (conf_folder() / "model" / "relu.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^{key}: \w+ # (.*)$", text, re.M)
    assert found is not None
    assert found[1].split(" | ") == list(words)
