import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from reluviz.__main__ import main
from reluviz.cli import config
from reluviz.data import piecewise_linear
from reluviz.errors import UserError

NAMES = ", ".join(config.choices("model"))

WHOLE_NUMBER = "must be a whole number of at least"
FILES = {
    "good.csv": "x,y\n0,1\n1,2\n2,0\n",
    "words.csv": "x,y\n0,1\none,2\n",
    "no_y.csv": "x,z,w\n0,1,2\n1,2,3\n",
    "nan_x.csv": "x,y\n0,1\nnan,2\n",
    "inf_y.csv": "x,y\n0,1\n1,inf\n",
    "constant_x.csv": "x,y\n1,1\n1,2\n",
    "one_row.csv": "x,y\n1,1\n",
    "empty.csv": "",
    "header.csv": "x,y\n",
    "short.csv": "x,y\n0,1\n2\n",
    "text.npz": "x,y\n0,1\n",
    "tiny.csv": "x,y\n1e-310,2e-310\n3e-310,1e-310\n",
    "tiny_y.csv": "x,y\n0,2e-310\n1,1e-310\n",
    "large.csv": "x,y\n0,2\n1e50,1\n",
    "two.json": '{"0.weight": [[1], [2]], "0.bias": [0, 0], "2.weight": [[3, 4]], "2.bias": [0]}',
    "uneven.json": '{"0.weight": [[1], 2], "0.bias": [0, 0], "2.weight": [[3, 4]], "2.bias": [0]}',
    "cut.json": '{"0.weight": [[1],',
}

# id: the words after `train` (IN is the folder of inputs), and parts of the one line of output
CASES: dict[str, tuple[str, ...]] = {
    # keys and choices that do not exist
    "unknown_key": ("widht=20", "widht=20: ", "did you mean model.width?"),
    "unknown_key_of_a_group": ("model.widht=20", "model.widht=20: ", "did you mean model.width?"),
    "unknown_group": ("optimiser.lr=1", "optimiser.lr=1: ", "did you mean optimizer.lr?"),
    "key_without_its_group": ("lr=0.1", "lr=0.1: ", "did you mean optimizer.lr?"),
    "misspelt_batch_size": ("sampler.batchsize=3", "sampler.batchsize=3: ", "did you mean sampler.batch_size?"),
    "added_key": ("+foo=1", "foo=1: ", "there is no such key"),
    "key_far_from_all": ("zzzzzz=1", "zzzzzz=1: ", "--cfg job shows all keys"),
    "key_that_the_model_lacks": ("+model.foo=1", "model.foo", "no such argument", "width, elbows"),
    "key_that_the_optimizer_lacks": ("+optimizer.foo=1", "optimizer.foo", "SGD has no such argument", "momentum"),
    "key_that_the_trainer_lacks": ("+trainer.foo=1", "trainer.foo", "no argument of Lightning's Trainer"),
    "key_that_reluviz_sets": ("+trainer.max_steps=3", "trainer.max_steps", "set by reluviz itself"),
    "key_without_value": ("updates", "updates: ", "key=value"),
    "value_without_key": ("=3", "=3: ", "key=value"),
    "experiment": ("+exp=rleu", "exp=rleu: must be one of batch, constant, course,", "did you mean relu?"),
    "experiment_without_plus": ("exp=rleu", "exp=rleu: ", "did you mean relu?"),
    "experiment_null": ("exp=null", "exp=null: must be one of batch, constant, course,"),
    "model": ("model=rleu", f"model=rleu: must be one of {NAMES}; did you mean relu?"),
    "model_null": ("model=null", f"model=null: must be one of {NAMES}"),
    "model_twice": ("+model=linear", "model: is chosen twice"),
    "no_model": ("~model", "model: is missing"),
    "no_updates": ("~updates", "updates: is missing"),
    "data": ("data=csv", "data=csv: must be one of file, piecewise_linear, points, sine"),
    "optimizer": ("optimizer=sdg", "optimizer=sdg: must be one of adam,", "did you mean sgd?"),
    "scheduler": ("scheduler=cosin", "scheduler=cosin: must be one of cosine,", "did you mean cosine?"),
    "regime": ("regime=both", "regime=both: must be one of all, output"),
    "trainer": ("trainer=gpu", "trainer=gpu: must be one of cpu"),
    "engine_that_lacks_the_optimiser": ("engine=fused optimizer=rmsprop", "engine=fused: optimizer._target_="),
    "engine_for_full_batches": ("engine=exact", "engine=exact: ", "use engine=auto or engine=reference"),
    "engine": ("engine=fast", "engine=fast: must be one of auto, reference, fused, exact"),
    "elbows": ("model.elbows=random", "model.elbows=random: must be one of uniform, even, at_data, given, torch"),
    "train": ("model.train=hiden", "model.train=hiden: must be one of all, output, hidden, ridge"),
    "precision": ("trainer.precision=16", "trainer.precision=16: must be one of 32-true, 64-true"),
    # options
    "option": ("--multirum", "--multirum: there is no such option", "did you mean --multirun?"),
    "option_without_value": ("--cfg", "--cfg: needs a value"),
    "option_with_a_wrong_value": ("--cfg jobb", "--cfg jobb: must be one of job, hydra, all"),
    "option_with_a_wrong_value_after_=": ("--info=foo", "--info=foo: must be one of all, config, defaults"),
    # keys of another choice
    "path_without_data=file": ("data.path=p.csv", "data.path=p.csv: data=piecewise_linear has no path", "data=file"),
    "batch_size_with_full": (
        *("sampler=full sampler.batch_size=40", "sampler.batch_size=40: sampler=full has no batch_size"),
        "sampler=with_replacement",
    ),
    "batch_size_with_linear": (
        *("+exp=linear sampler.batch_size=40", "sampler.batch_size=40: sampler=full has no batch_size"),
        "sampler=epoch",
    ),
    "width_of_linear": ("model=linear model.width=3", "model.width=3: model=linear has no width", "model=relu"),
    "n_of_a_file": ("data=file data.n=3", "data.n=3: data=file has no n", "data=piecewise_linear or data=sine"),
    "nesterov_of_sgd": ("optimizer.nesterov=true", "optimizer=sgd has no nesterov", "optimizer=nesterov"),
    # numbers
    "width_negative": ("model.width=-1", "model.width=-1: ", WHOLE_NUMBER),
    "width_zero": ("model.width=0", "model.width=0: ", WHOLE_NUMBER),
    "width_fraction": ("model.width=2.5", "model.width=2.5: ", WHOLE_NUMBER),
    "width_word": ("model.width=abc", "model.width=abc: ", WHOLE_NUMBER),
    "width_null": ("model.width=null", "model.width=null: ", WHOLE_NUMBER),
    "width_bool": ("model.width=true", "model.width=True: ", WHOLE_NUMBER),
    "width_list": ("model.width=[1,2]", "model.width=[1, 2]: ", WHOLE_NUMBER),
    "width_huge": ("model.width=1e9", "model.width=1000000000.0: ", "at most 100,000"),
    "width_missing": ("model.width=???", "model.width"),
    "lr_negative": ("optimizer.lr=-1", "optimizer.lr=-1: must be a finite number above 0"),
    "lr_zero": ("optimizer.lr=0", "optimizer.lr=0: must be a finite number above 0"),
    "lr_word": ("optimizer.lr=abc", "optimizer.lr=abc: must be a finite number above 0"),
    "lr_nan": ("optimizer.lr=nan", "optimizer.lr=nan: must be a finite number above 0"),
    "lr_inf": ("optimizer.lr=inf", "optimizer.lr=inf: must be a finite number above 0"),
    "lr_empty": ("optimizer.lr=", "optimizer.lr=: must be a finite number above 0"),
    "updates_negative": ("updates=-1", "updates=-1: ", f"{WHOLE_NUMBER} 1"),
    "updates_zero": ("updates=0", "updates=0: ", f"{WHOLE_NUMBER} 1"),
    "updates_fraction": ("updates=2.5", "updates=2.5: ", f"{WHOLE_NUMBER} 1"),
    "updates_word": ("updates=many", "updates=many: ", f"{WHOLE_NUMBER} 1"),
    "updates_inf": ("updates=inf", "updates=inf: ", f"{WHOLE_NUMBER} 1"),
    "updates_interpolation": ("updates=${foo}", "updates: Interpolation key 'foo' not found"),
    "every": ("snapshots.every=0", "snapshots.every=0: ", f"{WHOLE_NUMBER} 1"),
    "per_decade": ("snapshots=log snapshots.per_decade=0", "snapshots.per_decade=0: ", f"{WHOLE_NUMBER} 1"),
    "n": ("data.n=1", "data.n=1: ", f"{WHOLE_NUMBER} 2"),
    "noise": ("data.noise=-1", "data.noise=-1: must be a finite number of at least 0"),
    "data_seed": ("data.seed=-1", "data.seed=-1: ", f"{WHOLE_NUMBER} 0"),
    "seed_negative": ("seed=-1", "seed=-1: ", f"{WHOLE_NUMBER} 0"),
    "seed_word": ("seed=a", "seed=a: ", f"{WHOLE_NUMBER} 0"),
    "seed_beyond_numpy": ("seed=4294967296", "seed=4294967296: ", "at most 4,294,967,295"),
    "start": ("model=linear model.start=abc", "model.start=abc: must be a finite number"),
    "ridge": ("model.ridge=-1", "model.ridge=-1: must be a finite number of at least 0"),
    "momentum": ("optimizer=momentum optimizer.momentum=1", "optimizer.momentum=1: ", "below 1"),
    "pictures": ("callbacks.snapshots.pictures=-1", "callbacks.snapshots.pictures=-1: ", f"{WHOLE_NUMBER} 0"),
    "callback": (
        "callbacks.progress=3",
        "callbacks.progress=3: must be null (none) or have ",
        "callbacks.progress._target_",
    ),
    "no_snapshots": ("callbacks.snapshots=null", "callbacks.snapshots is missing: it records the run"),
    "histograms": ("callbacks.snapshots.histograms=3", "callbacks.snapshots.histograms=3: must be true or false"),
    # replicas
    "replicas_zero": ("replicas=0", "replicas=0: ", f"{WHOLE_NUMBER} 1"),
    "replicas_fraction": ("replicas=1.5", "replicas=1.5: ", f"{WHOLE_NUMBER} 1"),
    "seeds_twice": ("seeds=[1,1]", "seeds=[1, 1]: must be a list of different whole numbers"),
    "seeds_none": ("seeds=[]", "seeds=[]: must be a list of different whole numbers"),
    "seeds_no_list": ("seeds=3", "seeds=3: must be a list of different whole numbers, as in [0,5,17]"),
    "seeds_negative": ("seeds=[-1]", "seeds=[-1]: ", f"{WHOLE_NUMBER} 0"),
    "seeds_and_replicas": ("seeds=[1,2] replicas=3", "replicas=3: seeds=[1, 2] has 2; leave one out"),
    # minibatches
    "batch_beyond_n": (
        *("sampler=without_replacement sampler.batch_size=201", "sampler.batch_size=201: ", "the 200 points"),
        "sampler=without_replacement takes each at most once",
    ),
    "batch_beyond_epoch": (
        *("sampler=epoch sampler.batch_size=201", "sampler.batch_size=201: ", "the 200 points"),
        "sampler=epoch takes each at most once",
    ),
    "batch_beyond_file": ("data=file data.path=IN/good.csv sampler=epoch", "sampler.batch_size=40: ", "the 3 points"),
    "batch_zero": ("sampler.batch_size=0", "sampler.batch_size=0: ", f"{WHOLE_NUMBER} 1"),
    "batch_negative": ("sampler.batch_size=-3", "sampler.batch_size=-3: ", f"{WHOLE_NUMBER} 1"),
    # the user's own points
    "no_path": ("data=file", "data.path", "data=file data.path=points.csv"),
    "no_points": ("data=points", "data.points is missing", "data=points data.points=[[0,1],[1,3]]"),
    "points_of_one_number": ("data=points data.points=[[0,1],[1]]", "data.points=[[0, 1], [1]]: must be a list of"),
    "points_at_one_x": ("data=points data.points=[[2,1],[2,3]]", "data.points: every x is 2;", "two different x"),
    "column_unknown": ("data=file data.path=IN/good.csv data.x=age", "data.x=age: there is no such column", "'x', 'y'"),
    "column_number": ("data=file data.path=IN/good.csv data.x=2", "data.x=2: there is no such column", "number 0 to 1"),
    "column_of_other_data": ("data.x=age", "data.x=age: data=piecewise_linear has no x; it belongs to data=file"),
    "decimal_mark": (
        "data=file data.path=IN/good.csv data.decimal=dot",
        "data.decimal=dot: must be one of comma",
    ),
    "file_as_data": ("data=my/x.csv", "data=my/x.csv: is no data set", "own: data=file data.path=my/x.csv"),
    "file_as_data_with_umlaut": (
        "data=Größe.csv",
        "data=Größe.csv: is no data set",
        "own: data=file 'data.path=Größe.csv'",
    ),
    "file_that_exists_as_data": ("data=IN/objects.npz", "is no data set", "own: data=file data.path=IN/objects.npz"),
    "data_file": (
        "data.file=x.csv",
        "data.file=x.csv: is no data set",
        "own: data=file data.path=x.csv",
    ),
    "epochs": ("epochs=10", "epochs=10: there is no key epochs; did you mean updates?"),
    "steps": ("max_steps=10", "max_steps=10: there is no key max_steps; did you mean updates?"),
    "file_missing": ("data=file data.path=IN/none.csv", "data.path=IN/none.csv: no such file"),
    "file_words": ("data=file data.path=IN/words.csv", "data.path=IN/words.csv: line 3: x is 'one'", "number"),
    "file_no_column": ("data=file data.path=IN/no_y.csv", "data.path=IN/no_y.csv: has no column y", "'x', 'z'"),
    "file_nan": ("data=file data.path=IN/nan_x.csv", "data.path=IN/nan_x.csv: line 3: x is nan", "finite"),
    "file_inf": ("data=file data.path=IN/inf_y.csv", "data.path=IN/inf_y.csv: line 3: y is inf", "finite"),
    "file_constant_x": ("data=file data.path=IN/constant_x.csv", "constant_x.csv: every x is 1", "two different x"),
    "file_one_row": ("data=file data.path=IN/one_row.csv", "one_row.csv: has 1 row of data", "at least 2"),
    "file_empty": ("data=file data.path=IN/empty.csv", "data.path=IN/empty.csv: is empty", "two columns of numbers"),
    "file_only_header": ("data=file data.path=IN/header.csv", "header.csv: has 0 rows of data", "at least 2"),
    "file_short_row": ("data=file data.path=IN/short.csv", "short.csv: line 3: y is missing"),
    "file_is_folder": ("data=file data.path=IN", "data.path=IN: is a folder"),
    "file_no_npz": ("data=file data.path=IN/text.npz", "data.path=IN/text.npz: is damaged, or no NPZ"),
    "file_objects": ("data=file data.path=IN/objects.npz", "data.path=IN/objects.npz: ", "are not read"),
    "file_is_list": ("data=file data.path=[1]", "data.path=[1]: must be the name of a file"),
    "test_file_missing": (
        *("data=file data.path=IN/good.csv data.test_path=IN/none.csv", "data.test_path=IN/none.csv: no such file"),
    ),
    # initial states
    "init_missing": ("model.init_from=IN/none.pt", "model.init_from=IN/none.pt: no such file"),
    "init_of_another_width": (
        *("model.init_from=IN/five.pt", "model.init_from=IN/five.pt: 0.weight has shape (5, 1)"),
        "model.width=20 needs (20, 1)",
    ),
    "init_of_another_network": ("model.init_from=IN/line.pt", "IN/line.pt: holds 'weight', 'bias'", "0.weight, 0.bias"),
    "init_pickled": ("model.init_from=IN/pickled.pt", "model.init_from=IN/pickled.pt: is not a file of torch.save"),
    "init_text": ("model.init_from=IN/good.csv", "model.init_from=IN/good.csv: is not a file of torch.save"),
    "init_json_of_another_width": (
        "model.init_from=IN/two.json",
        "IN/two.json: 0.weight has shape (2, 1)",
        "needs (20, 1)",
    ),
    "init_json_cut_off": (
        "model.init_from=IN/cut.json",
        "model.init_from=IN/cut.json: is not JSON (",
        "line 1 column 19",
    ),
    "init_json_uneven": ("model.width=2 model.init_from=IN/uneven.json", "0.weight holds lists of different lengths"),
    "positions_missing": ("model.elbows=given", "model.elbows=given", "model.positions"),
    "positions_without_given": ("model.positions=[0.1]", "model.positions=[0.1]: goes with model.elbows=given"),
    "positions_too_few": ("model.elbows=given model.positions=[0.1]", "model.positions=[0.1]: 1 ", "model.width=20"),
    "positions_words": ("model.elbows=given model.positions=[a]", "model.positions=['a']: must be a finite number"),
    # optimisers and schedulers
    "optimizer_nonsense": (
        *("optimizer._target_=torch.optim.Nonsense", "optimizer._target_=torch.optim.Nonsense: "),
        "for example torch.optim.SGD",
    ),
    "optimizer_other": ("optimizer._target_=os.system", "optimizer._target_=os.system: is not a class of the kind"),
    "optimizer_refuses": ("optimizer=adam optimizer.betas=[2,3]", "optimizer.betas=[2, 3]", "Adam", "Invalid beta"),
    "scheduler_refuses": ("scheduler=step scheduler.step_size=0", "scheduler.step_size=0", "StepLR"),
    # checkpoints
    "ckpt_missing": ("ckpt_path=IN/none", "ckpt_path=IN/none: no such file or folder"),
    "ckpt_no_run": ("ckpt_path=IN/folder", "ckpt_path=IN/folder: belongs to no run"),
    "ckpt_file_of_no_run": ("ckpt_path=IN/good.csv", "ckpt_path=IN/good.csv: belongs to no run"),
    "ckpt_damaged": ("ckpt_path=IN/damaged updates=9", "ckpt_path=IN/damaged: last.ckpt is not a checkpoint"),
    "ckpt_of_another_model": ("ckpt_path=IN/mixed updates=9", "ckpt_path=IN/mixed: holds a relu model"),
    "ckpt_fewer": ("ckpt_path=IN/linear updates=1", "ckpt_path=IN/linear: has made 2 updates", "updates=4"),
    "ckpt_other_lr": ("ckpt_path=IN/linear updates=9 optimizer.lr=3", "optimizer.lr=3: ", "has 0.2; only updates"),
    "ckpt_other_exp": ("ckpt_path=IN/linear updates=9 +exp=relu", "+exp=relu: ", "has linear; only updates"),
    "ckpt_sweep_without_m": ("ckpt_path=IN/linear updates=5,6", "updates=5,6: "),
    "ckpt_sweep": ("ckpt_path=IN/linear updates=9 -m", "ckpt_path=IN/linear: ", "leave out -m"),
    # folders and names
    "dir_below_a_file": ("hydra.run.dir=IN/good.csv/run", "hydra.run.dir=IN/good.csv/run: cannot be written to"),
    "dir_taken": ("hydra.run.dir=IN/linear", "hydra.run.dir=IN/linear: holds a run already", "ckpt_path="),
    "sweep_below_a_file": ("-m seed=0,1 hydra.sweep.dir=IN/good.csv/x", "hydra.sweep.dir=IN/good.csv/x: cannot be"),
    "name_with_slash": ("name=a/b", "name=a/b: must be a name of letters, digits"),
    "name_of_parent": ("name=..", "name=..: must be a name of letters, digits"),
    "name_empty": ("name=", "name=: must be a name of letters, digits"),
    "name_with_equals": ("name=a=b", "name=a=b: ", "key=value"),
    # Hydra's grammar
    "quotes": ('name="a', 'name="a: ', "quote values with special characters"),
    "brackets": ("seeds=[3", "seeds=[3: ", "key=value"),
    "interpolation": ("name=${", "name=${: ", "key=value"),
    "sweep_without_m": ("seed=0,1", "seed=0,1: several values need -m"),
    "range_without_m": ("model.width=range(1,3)", "model.width=range(1,3): several values need -m"),
    "sweep_of_one_value_twice": ("-m seed=1,1", "seed=1,1: holds a value twice"),
    "sweep_of_an_unknown_key": ("-m model.widht=1,2", "model.widht=1: ", "did you mean model.width?"),
    "sweep_from_a_bad_value": ("-m seed=-1,1", "seed=-1: ", f"{WHOLE_NUMBER} 0"),
    "accelerator": ("trainer.accelerator=nope", "trainer"),
    "devices": ("trainer.devices=0", "trainer"),
    "key_that_the_logger_lacks": ("+logger.foo=1", "logger.foo"),
    # what Hydra cannot compose, or only after it has made its folder
    "callback_by_a_word": (
        *("callbacks.snapshots=log", "callbacks.snapshots=log: must be null (none) or have "),
        "callbacks.snapshots._target_",
    ),
    "group_by_numbers": ("scheduler=[1,2]", "scheduler=[1,2]: must be one of cosine, exponential, none, step"),
    "package_group_by_numbers": ("regime=[0,0]", "regime=[0,0]: must be one of all, output, ridge"),
    "deletion_of_a_number": ("~exp=1", "~exp=1: must be one of batch, constant,"),
    "hydra_group_by_a_number": ("hydra/job_logging=1", "hydra/job_logging=1: ", "must be a string or a list"),
    "hydra_node_by_a_list": ("hydra.job.env_copy=[1,2]", "hydra.job.env_copy=[1,2]: "),
    "sweep_of_no_value": ("-m model.width=range(0)", "model.width=range(0): holds no value"),
    "sweep_of_too_many_values": ("-m seed=range(1000000000)", "seed=range(1000000000): holds more than 100,000 values"),
    "glob_over_a_key": ("-m seed=glob(*)", "seed=glob(*): glob takes choices of a group"),
    "glob_without_a_match": ("-m sampler=glob(z*)", "sampler=glob(z*): holds no value"),
    "sweeper_by_a_word": ("-m hydra.sweeper=x", "hydra.sweeper=x: has no _target_; choose one by sweeper="),
    "launcher_by_a_word": ("-m hydra.launcher=x seed=0,1", "hydra.launcher=x: has no _target_"),
    "sweep_over_hydra": ("-m hydra.verbose=choice(1,2)", "hydra.verbose=choice(1,2): is for the sweep as a whole"),
    "setting_of_logging": ("hydra.job_logging.version=%s", "hydra: its settings are refused: Unsupported version: %s"),
    "flags_that_exclude_each_other": ("--run -m updates=3", "--run -m: only one of these can be given"),
    "flag_without_its_other": ("--resolve updates=3", "--resolve: goes with --cfg"),
    "rerun_of_nothing": ("--experimental-rerun none", "--experimental-rerun: reads a pickle"),
    "completion_of_nothing": ("--shell-completion updates=3", "hydra: its settings are refused: ", "'install'"),
    # the trainer
    "accumulation": ("+trainer.accumulate_grad_batches=2", "trainer.accumulate_grad_batches=2: ", "sampler.batch_size"),
    "clipping": ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val=1: gradients are not clipped"),
    "limited_batches": ("+trainer.limit_train_batches=2", "trainer.limit_train_batches=2: it would count the segments"),
    "overfitting": ("+trainer.overfit_batches=1", "trainer.overfit_batches=1: it would count the segments"),
    "fast_dev_run": ("+trainer.fast_dev_run=true", "trainer.fast_dev_run=True: it would record nothing; updates sets"),
    "validation": (
        "+trainer.val_check_interval=2",
        "trainer.val_check_interval=2: there is no validation; the test error",
    ),
    "bare": ("+trainer.barebones=true", "trainer.barebones=True: a run is recorded by a logger"),
    # numbers whose powers leave floating point
    "tiny_points": ("data=file data.path=IN/tiny.csv", "the largest x is 3e-310, below 1e-60;", "use other units"),
    "tiny_points_of_linear": ("model=linear data=file data.path=IN/tiny.csv", "the largest x is 3e-310, below 1e-60"),
    "tiny_y": ("data=file data.path=IN/tiny_y.csv", "the largest y is 2e-310, below 1e-60;", "use other units"),
    "large_noise": ("data.noise=1e200", "data.noise=1e+200: must be a finite number of at least 0", "at most 1e+60"),
    "large_position": (
        *("model.width=1 model.elbows=given model.positions=[1e300]", "model.positions=[1e+300]: must be a finite"),
        "at most 1e+60",
    ),
    "position_beyond_float32": (
        *("model.width=2 model.elbows=given model.positions=[1e59,0.1]", "model: bias is beyond float32 at the start"),
    ),
    "start_beyond_float32": ("model=linear model.start=1e39", "model: theta is beyond float32 at the start"),
    "points_beyond_float32": (
        *("model=linear data=file data.path=IN/large.csv", "large.csv: x goes up to 1e+50, beyond float32"),
        "use other units",
    ),
    # files that unpack to more than they hold
    "bomb": ("data=file data.path=IN/bomb.npz", "bomb.npz: array x would unpack from 0.3 MB to 320 MB"),
    "device": ("data=file data.path=/dev/zero", "data.path=/dev/zero: is a device; give a CSV or NPZ file"),
    "sweep_of_one_value_in_two_spellings": ("-m seed=1,1.0 updates=1 callbacks=minimal", "seed=1,1.0: "),
}


def reluviz(*words):
    """Run the command line in this process, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


def files_below(folder):
    """Return path and size of everything below a folder."""
    return sorted((path, path.stat().st_size) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    np.savez(folder / "objects.npz", x=np.array([{}, 1], dtype=object), y=np.arange(2.0))
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as x:
        np.lib.format.write_array_header_1_0(x, {"descr": "<f8", "fortran_order": False, "shape": (40_000_000,)})
        for _ in range(40):
            x.write(bytes(8_000_000))
    with zipfile.ZipFile(folder / "bomb.npz", "a") as archive, archive.open("y.npy", "w") as y:
        np.lib.format.write_array(y, np.arange(5.0))
    network = nn.Sequential(nn.Linear(1, 5), nn.ReLU(), nn.Linear(5, 1))
    torch.save(network.state_dict(), folder / "five.pt")
    torch.save(nn.Linear(1, 1).state_dict(), folder / "line.pt")
    torch.save(network, folder / "pickled.pt")
    for name in ("linear", "relu"):
        few = ["updates=2", "callbacks=minimal", f"hydra.run.dir={folder / name}"]
        assert reluviz("train", f"+exp={name}", *few) == 0
    for name in ("mixed", "damaged", "early"):
        shutil.copytree(folder / "linear", folder / name)
    shutil.copy(folder / "relu/checkpoints/last.ckpt", folder / "mixed/checkpoints/last.ckpt")
    (folder / "damaged/checkpoints/last.ckpt").write_bytes(b"x")
    (folder / "early/checkpoints/last.ckpt").unlink()
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_gives_one_line_and_status_2_and_creates_nothing(case, inputs, tmp_path, capsys):
    words, *parts = (part.replace("IN", str(inputs)) for part in case)
    before = files_below(inputs)
    capsys.readouterr()
    assert reluviz("train", *words.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reluviz: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err
    assert list(tmp_path.iterdir()) == []
    assert files_below(inputs) == before


@pytest.mark.parametrize("words", ["seed=0", "-m seed=0,1"])
def test_a_run_that_fails_before_its_first_record_leaves_nothing(words, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise UserError("model.width=20: no")

    monkeypatch.setattr("reluviz.cli.hydra_run.run_single", fail)
    monkeypatch.setattr("reluviz.cli.hydra_run.run_multirun", fail)
    (tmp_path / "mine").mkdir()
    for place in ("", "mine", "new/run"):
        key = "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
        given = [f"{key}={place}"] if place else []
        assert reluviz("train", *words.split(), "updates=3", *given) == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_NUM_THREADS", "0"), ("NUMBA_NUM_THREADS", "x"), ("OMP_NUM_THREADS", "2,x")]
)
@pytest.mark.parametrize("verb", ["train", "explain", "view", "export", "report", "playground"])
def test_a_wrong_number_of_threads_is_named(name, value, verb, monkeypatch, capsys):
    monkeypatch.setenv(name, value)
    assert reluviz(verb) == 2
    line = f"reluviz: {name}={value}: must be a whole number of at least 1 (an environment variable)\n"
    assert capsys.readouterr() == ("", line)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove the folder of a process")
@pytest.mark.parametrize("verb", ["train", "explain", "view", "export", "report", "playground"])
def test_a_removed_working_folder_is_refused(verb, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"import os, sys; os.rmdir({str(gone)!r}); sys.argv = ['reluviz', {verb!r}]; import reluviz.__main__ as m"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; sys.exit(m.main())"], cwd=gone, capture_output=True, text=True, check=False
    )
    line = "reluviz: the current folder does not exist any more; change to another\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


@pytest.mark.parametrize("word", ["name=a\nb", "foo=a\nb"])
def test_a_line_break_in_a_value_is_not_printed(word, tmp_path, capsys):
    assert reluviz("train", word) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"reluviz: {word[:4]}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_named_logs_is_refused(tmp_path, capsys):
    (tmp_path / "logs").write_text("mine")
    assert reluviz("train", "+exp=linear") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reluviz: hydra.run.dir=logs/linear/")
    assert "cannot be written to" in err
    assert err.count("\n") == 1
    assert (tmp_path / "logs").read_text() == "mine"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_folder_that_cannot_be_written_to_is_named(capsys):
    assert reluviz("train", "hydra.run.dir=/proc/run") == 2
    assert capsys.readouterr().err.startswith("reluviz: hydra.run.dir=/proc/run: cannot be written to (")


def test_no_log_record_accompanies_the_line(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("hydra.utils"), "disabled", False)
    assert reluviz("train", "model._target_=reluviz.models.Nothing") == 2
    assert caplog.records == []


def test_a_process_prints_only_the_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "reluviz", "train", "engine=fast"], capture_output=True, text=True, check=False
    )
    line = "reluviz: engine=fast: must be one of auto, reference, fused, exact\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
    assert list(tmp_path.iterdir()) == []


def test_hydra_full_error_shows_the_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "reluviz", "train", "foo=1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HYDRA_FULL_ERROR": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "hydra.errors.ConfigCompositionException" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("reluviz.errors.UserError: foo=1: there is no key foo")
    assert list(tmp_path.iterdir()) == []


def diverge(words, tmp_path, capsys, seed=""):
    """Train until the run diverges; return the line of the error and the metrics."""
    assert reluviz("train", *words.split()) == 3
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert len(out.splitlines()) == 5
    (folder,) = tmp_path.glob("logs/*/*")
    (events,) = folder.glob("events.out.tfevents.*")
    assert events.stat().st_size > 1000
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["status"] == "diverged"
    assert f"diverged{seed}: after update {metrics['updates']:,} " in err
    return err, metrics


def test_divergence_of_the_linear_model_names_its_limit(tmp_path, capsys):
    err, metrics = diverge("+exp=linear optimizer.lr=5 updates=100", tmp_path, capsys)
    x = np.random.RandomState(1).uniform(size=200)
    assert 1 / np.mean(x * x) == pytest.approx(3.0403, abs=1e-4)
    assert f"1/mean(x^2) = {1 / np.mean(x * x):.6g}\n" in err
    assert "theta has left every bound" in err
    assert "optimizer.lr=5.0" in err
    # theta_u - theta* = (1 - 2 lr mean(x^2))^u (0 - theta*), and the run ends at 10^6 times the first loss
    data = piecewise_linear()
    moment, star = np.mean(data.x**2), np.mean(data.x * data.y) / np.mean(data.x**2)
    u = np.arange(100)
    loss = np.mean((data.y - star * data.x) ** 2) + moment * (star * (1 - 2 * 5 * moment) ** u) ** 2
    assert loss[0] == pytest.approx(np.mean(data.y**2))
    assert metrics["updates"] == np.argmax(loss > 1e6 * max(loss[0], np.var(data.y)))
    assert metrics["loss/train"] == [pytest.approx(loss[metrics["updates"]], rel=1e-4)]


def test_divergence_of_the_constant_model_names_its_limit(tmp_path, capsys):
    err, _ = diverge("+exp=constant optimizer.lr=1.5 updates=100", tmp_path, capsys)
    assert "optimizer.lr=1.5, and the largest stable step size is 1\n" in err


def test_divergence_of_the_network_names_a_parameter(tmp_path, capsys):
    err, metrics = diverge(
        "+exp=relu optimizer.lr=50 updates=2000 snapshots.every=10 callbacks=minimal", tmp_path, capsys
    )
    assert any(f" {name} has left" in err for name in ("input_slope", "bias", "output_weight", "output_bias"))
    # at the start, for these data; `explain` prints the same limit
    assert "optimizer.lr=50.0 is beyond the largest stable step size, 2/lambda_max at the start = 0.74" in err
    assert metrics["updates"] < 2000


def test_a_replica_that_diverges_is_named_by_its_seed(tmp_path, capsys):
    words = "+exp=relu optimizer.lr=50 updates=500 seeds=[7,8] snapshots.every=10 callbacks=minimal"
    _, metrics = diverge(words, tmp_path, capsys, seed=" (seed 7)")
    assert metrics["seeds"] == [7, 8]


def test_a_whole_number_may_be_written_with_a_point(tmp_path):
    few = ["updates=3.0", "replicas=2.0", "callbacks=minimal", "hydra.run.dir=run"]
    assert reluviz("train", *few) == 0
    assert json.loads((tmp_path / "run/metrics.json").read_text())["seeds"] == [0, 1]


def test_a_verb_with_a_line_break_is_refused_in_one_line(capsys):
    assert reluviz("tr\nain") == 2
    err = capsys.readouterr().err
    assert err.startswith("reluviz: tr ain: must be one of train, view, playground, export, report, explain")
    assert err.count("\n") == 1
