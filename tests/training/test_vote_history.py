"""The recorded history of vote norms."""

import numpy as np

from reluviz.training.vote_history import MAX_SNAPSHOTS, VoteHistory


def test_a_long_history_drops_every_second_snapshot_and_keeps_the_first() -> None:
    history = VoteHistory()
    for update in range(5000):
        history.add(update, np.array([update, 2.0 * update]))
    updates, norms = history.arrays()
    assert MAX_SNAPSHOTS // 2 < len(updates) <= MAX_SNAPSHOTS
    assert updates[0] == 0
    assert len(set(np.diff(updates))) == 1
    np.testing.assert_array_equal(norms, np.stack([updates, 2 * updates], axis=1))


def test_a_history_restored_from_a_checkpoint_equals_an_uninterrupted_one() -> None:
    whole, before, after = VoteHistory(), VoteHistory(), VoteHistory()
    for update in range(1500):
        whole.add(update, np.array([float(update)]))
    for update in range(801):
        before.add(update, np.array([float(update)]))
    after.load_state_dict(before.state_dict())
    for update in range(800, 1500):
        after.add(update, np.array([float(update)]))
    np.testing.assert_array_equal(after.arrays()[0], whole.arrays()[0])
    np.testing.assert_array_equal(after.arrays()[1], whole.arrays()[1])


def test_the_repeated_snapshot_of_a_checkpoint_does_not_change_which_later_ones_are_kept() -> None:
    whole, resumed = VoteHistory(), VoteHistory()
    for update in range(2000):
        whole.add(update, np.full(2, update, np.float32))
        resumed.add(update, np.full(2, update, np.float32))
        if update in (777, 1400, 1801):
            restored = VoteHistory()
            restored.load_state_dict(resumed.state_dict())
            resumed = restored
            resumed.add(update, np.full(2, update, np.float32))
    assert resumed.updates == whole.updates
    assert whole.stride == 4
    np.testing.assert_array_equal(resumed.arrays()[1], whole.arrays()[1])
