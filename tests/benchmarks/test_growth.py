"""What the curves of growth are made from: marks of a long recording, and sets of several sizes."""

from pathlib import Path

from benchmarks.indexing_memory import taken_at
from benchmarks.training_size import as_many
from training.data.datasets import Record


def test_a_mark_is_passed_once_and_the_end_counts_where_the_video_is_shorter() -> None:
    held = [(60.0 * minute, 100.0, 2.0 * minute) for minute in range(26)]
    assert taken_at(held) == [
        {"video_s": 600, "processor_s": 20.0},
        {"video_s": 1200, "processor_s": 40.0},
        {"video_s": 1500, "processor_s": 50.0},
    ]


def test_a_set_is_of_the_first_people_or_of_all_several_times() -> None:
    records = [Record(Path(f"{pid}-{n}.jpg"), pid, n) for pid in (3, 5, 8, 9) for n in range(2)]
    half = as_many(records, 0.5)
    assert [record.pid for record in half] == [3, 3, 5, 5]
    three = as_many(records, 3)
    assert len(three) == 24
    assert len({record.pid for record in three}) == 12
    assert [record.path for record in three] == 3 * [record.path for record in records]
