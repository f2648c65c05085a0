from reidapp.spans import Between, Span, gaps_and_overlaps


def spans(*times: tuple[int, int]) -> list[Span]:
    return [Span(f"{start}-{end}", start * 1000, end * 1000) for start, end in times]


def test_one_after_the_other_is_neither() -> None:
    assert gaps_and_overlaps(spans((0, 60), (60, 120), (121, 180))) == ([], [])  # names have whole seconds
    assert gaps_and_overlaps([]) == ([], [])


def test_gaps_and_overlaps_whatever_the_order() -> None:
    gaps, overlaps = gaps_and_overlaps(spans((200, 260), (0, 60), (50, 130)))
    assert gaps == [Between("50-130", "200-260", 70.0)]
    assert overlaps == [Between("0-60", "50-130", 10.0)]


def test_a_short_one_within_a_long_one_makes_no_gap() -> None:
    gaps, overlaps = gaps_and_overlaps(spans((0, 3600), (100, 160), (200, 260), (3600, 3700)))
    assert gaps == []
    assert overlaps == [Between("0-3600", "100-160", 60.0), Between("0-3600", "200-260", 60.0)]


def test_the_same_twice() -> None:
    assert gaps_and_overlaps(spans((0, 60), (0, 60)))[1] == [Between("0-60", "0-60", 60.0)]
