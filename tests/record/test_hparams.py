"""Settings of a run in the HParams tab and in its text summary."""

from reluviz.record import hparams


def test_settings_have_dotted_names_and_targets_are_shortened_to_the_class_name() -> None:
    nested = {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "betas": [0.9, 0.99]}, "seeds": None, "n": True}
    assert hparams.flatten_settings(nested) == {
        "optimizer": "SGD",
        "optimizer.lr": 0.1,
        "optimizer.betas": "[0.9, 0.99]",
        "n": "True",
    }
    assert "| `optimizer.lr` | 0.1 |" in hparams.summary_markdown(hparams.flatten_settings(nested), None)
