"""Event files are read in the order in which they were created."""

import random

from reluviz.record.event_file import EVENT_FILE_PREFIX, EventFile, event_files


def test_files_of_one_second_follow_each_other_in_the_order_of_their_counts(tmp_path) -> None:
    # the names that TensorBoard's writer gives: second, host, process, count
    names = [
        f"{EVENT_FILE_PREFIX}{second}.host-10.77.{count}" for second in (1700000000, 1700000001) for count in (9, 10)
    ]
    for name in random.Random(1).sample(names, len(names)):
        (tmp_path / name).touch()
    assert [path.name for path in event_files(tmp_path)] == names


def test_a_new_file_comes_after_all_others_in_its_folder(tmp_path) -> None:
    (tmp_path / f"{EVENT_FILE_PREFIX}9999999999.zz.1.0").touch()
    files = [EventFile(str(tmp_path)) for _ in range(3)]
    for file in files:
        file.close()
    assert event_files(tmp_path)[1:] == [file.path for file in files]
