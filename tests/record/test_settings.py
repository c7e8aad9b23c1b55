"""Nested settings become dotted keys, as in the HParams tab and in a run's text summary."""

from reluviz.record.hparams import summary_markdown
from reluviz.record.settings import flatten_settings, leaves

NESTED = {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "betas": [0.9, 0.99]}, "seeds": None, "n": True}


def test_leaves_have_dotted_names_and_empty_nodes_have_none() -> None:
    assert dict(leaves({**NESTED, "empty": {}})) == {
        "optimizer._target_": "torch.optim.SGD",
        "optimizer.lr": 0.1,
        "optimizer.betas": [0.9, 0.99],
        "seeds": None,
        "n": True,
    }
    assert list(leaves({"a": {"b": 1}}, "model.")) == [("model.a.b", 1)]


def test_flat_settings_name_only_the_class_of_a_target_and_leave_out_none() -> None:
    flat = flatten_settings(NESTED)
    assert flat == {"optimizer": "SGD", "optimizer.lr": 0.1, "optimizer.betas": "[0.9, 0.99]", "n": "True"}
    assert "| `optimizer.lr` | 0.1 |" in summary_markdown(flat, None)
