"""Names of files and of columns are taken as they are typed, by every command that reads them."""

import json
import sys

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from reluviz.__main__ import main
from reluviz.analysis.loading import load_run
from reluviz.cli import config
from reluviz.errors import UserError

pytestmark = pytest.mark.long

TINY = ["updates=2", "callbacks=minimal", "sampler=full", "model=linear"]
NAMES = [
    "Größe.csv",
    "数据.csv",
    "my points.csv",
    "points (1).csv",
    "a=b.csv",
    "a,b.csv",
    "~x.csv",
    "1e3",
    "007",
    "a'b\".csv",
    "${x}.csv",
]
POINTS = 'Weg [m],Zeit in s,"y (m/s, gemessen)"\n1,0.5,2\n2,1.5,4\n3,2.5,3\n'


def reluviz(*words):
    """Run the command line in this process, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


def value(text, multirun=False):
    """Return what Hydra reads for an override as it is typed."""
    (override,) = config.parse(config.as_typed([text], multirun))
    return override.value()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(name, text="x,y\n0,1\n1,3\n"):
    with open(name, "w", encoding="utf-8") as stream:
        stream.write(text)
    return name


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_is_taken_as_typed(name, capsys):
    write(name)
    assert reluviz("explain", "model=linear", "data=file", f"data.path={name}", f"data.test_path={name}", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"]["name"] == name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("1e3", "007")])
def test_the_error_names_a_missing_file_as_typed(name, capsys):
    if name == "${x}.csv":
        return
    assert reluviz("train", *TINY, "data=file", f"data.path={name}") == 2
    err = capsys.readouterr().err
    expected = "several values need -m" if name == "a,b.csv" else "no such file"
    assert err == f"reluviz: data.path={name}: {expected}\n".replace("need -m\n", "need -m (a run for each)\n")


def test_a_run_of_a_file_with_any_name_is_trained_resumed_and_loaded(tmp_path):
    name = write("Größe (1) = a.csv")
    folder = "Lauf (1) = ä"
    words = [*TINY, "data=file", f"data.path={name}"]
    assert reluviz("train", *words, f"hydra.run.dir='{folder}'") == 0
    assert OmegaConf.load(tmp_path / folder / ".hydra/config.yaml").data.path == name
    assert reluviz("train", *words, f"ckpt_path={folder}", "updates=4") == 0
    assert reluviz("train", f"ckpt_path=~/{folder}", "updates=6") == 0
    assert load_run(folder).updates[-1] == 6
    assert load_run(folder).data.y.tolist() == [1, 3]


def test_a_sweep_over_files_and_its_folder_are_taken_as_typed(capsys):
    write("Größe.csv")
    write("b (1).csv", "x,y\n0,2\n1,3\n")
    words = ["-m", *TINY, "data=file", "data.path=Größe.csv,b (1).csv"]
    assert reluviz("train", *words, "hydra.sweep.dir='alle (2) ä'") == 0
    assert "2 finished" in capsys.readouterr().out
    assert reluviz("train", *words, "sweep.resume=alle (2) ä") == 0
    assert "2 finished (2 of them before)" in capsys.readouterr().out


def test_weights_are_read_from_a_file_as_typed(tmp_path, capsys):
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    torch.save(network.state_dict(), tmp_path / "Netz (ä).pt")
    for name in ("Netz (ä).pt", "~/Netz (ä).pt"):
        words = ["model.width=2", "updates=1", "callbacks=minimal", f"model.init_from={name}", "hydra.run.dir=run"]
        assert reluviz("explain", *words[:1], words[3]) == 0
    assert reluviz("train", *words) == 0
    assert reluviz("explain", "model.init_from=Netz (ö).pt") == 2
    assert capsys.readouterr().err == "reluviz: model.init_from=Netz (ö).pt: no such file\n"


@pytest.mark.parametrize(
    ("x", "y"),
    [("Zeit in s", "y (m/s, gemessen)"), ("zeit in S", "2"), ("1", "Y (m/s, gemessen)"), ("'Zeit in s'", "02")],
)
def test_the_name_of_a_column_is_taken_as_typed(x, y, capsys):
    write("p.csv", POINTS)
    words = ["data=file", "data.path=p.csv", f"data.x={x}", f"data.y={y}"]
    assert reluviz("train", *TINY, *words, "hydra.run.dir=run") == 0
    run = load_run("run")
    assert (run.data.x.tolist(), run.data.y.tolist()) == ([0.5, 1.5, 2.5], [2, 4, 3])
    assert reluviz("train", *words, "ckpt_path=run", "updates=4") == 0


def test_a_sweep_may_vary_the_column(capsys):
    write("p.csv", POINTS)
    assert reluviz("train", "-m", *TINY, "data=file", "data.path=p.csv", "data.x=0,1", "data.y=2") == 0
    assert "2 finished" in capsys.readouterr().out


@pytest.mark.parametrize("key", config.PATH_KEYS)
def test_a_name_that_no_file_can_have_is_refused_in_one_line(key, capsys):
    words = ["data=file", "data.path=p.csv"] if key == "data.test_path" else ["data=file"] * key.startswith("data")
    write("p.csv")
    flags = ["-m", "seed=0,1"] * (key == "sweep.resume")
    for name in ("ä" * 5000, "~no-such-user/x"):
        assert reluviz("train", *flags, *words, f"{key}={name}") == 2
        err = capsys.readouterr().err
        assert err.startswith(f"reluviz: {key}={name}: ")
        assert "no such file" in err or "no such folder" in err
        assert err.count("\n") == 1


def test_values_of_hydra_keep_their_meaning():
    assert value("data.path='a b.csv'") == "a b.csv"
    assert value("data.path=null") is None
    assert value("data.x=null") is None
    assert value("data.x=0") == 0
    assert value("data.x=true") == "true"
    assert value("data.x=1.50") == "1.50"
    assert value("data.x=[s]") == "[s]"
    assert value("data.x=a,b") == "a,b"
    assert config.parse(config.as_typed(["data.x=a,b"], True))[0].is_sweep_override()
    assert config.parse(config.as_typed(["data.path=a.csv,b.csv"]))[0].is_sweep_override()
    assert config.as_typed(["seed=1", "exp=relu", "name=a=b"]) == ["seed=1", "+exp=relu", "name=a=b"]


def test_the_line_to_type_works(capsys):
    write("my points.csv")
    with pytest.raises(UserError) as caught:
        config.as_typed(["data=my points.csv"])
    assert str(caught.value).endswith("for a file of your own: data=file 'data.path=my points.csv'")
    assert reluviz("explain", "model=linear", "data=file", "data.path=my points.csv") == 0


def test_train_and_explain_print_which_two_columns_they_use(capsys):
    write("p.csv", "t,v,name\n0,1,a\n1,3,b\n")
    line = "p.csv: x is 't', y is 'v', its only two columns of numbers"
    words = ["model=linear", "data=file", "data.path=p.csv"]
    assert reluviz("train", *TINY, *words[1:], "hydra.run.dir=run") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"data    {line}"
    assert reluviz("train", "ckpt_path=run", "updates=4") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"data    {line}"
    assert reluviz("explain", *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["notes"][0] == line
    assert reluviz("train", "-m", *TINY, *words[1:], "seed=0,1") == 0
    assert capsys.readouterr().out.count(line) == 1


def test_a_handful_of_points_is_explained_trained_recorded_and_resumed(capsys):
    words = ["model=linear", "data=points", "data.points=[[1,3],[0,1],[2,4.5]]"]
    assert reluviz("explain", *words, "--json") == 0
    capsys.readouterr()
    assert reluviz("train", *TINY, *words[1:], "hydra.run.dir=run") == 0
    run = load_run("run")
    assert (run.data.name, run.data.x.tolist(), run.data.y.tolist()) == ("points", [0, 1, 2], [1, 3, 4.5])
    assert reluviz("train", *words, "ckpt_path=run", "updates=4") == 0
    assert reluviz("train", "-m", *TINY, "data=points", "data.points=[[0,1],[1,3]],[[0,2],[1,3]]") == 0
    assert "2 finished" in capsys.readouterr().out
