"""The worst cases, of the figures by which measures are tested."""

import pytest

from reidapp.box import Box
from reidapp.measures import Share
from reidapp.truth import Truth
from reidapp.worst_cases import latest, least_found, least_pure, poorest
from tests.reidapp.test_measures import LEFT, NOWHERE, RIGHT, TIMES, along, followed, found, look, query, sighting


def test_the_worst_come_first() -> None:
    late = followed(along(LEFT, TIMES[6:]))
    mixed = followed(along(RIGHT, TIMES[:12]) + along(LEFT, TIMES[12:]))
    little = followed(along(RIGHT, TIMES[:19]) + along(NOWHERE, TIMES[19:]))
    assert least_pure([late, little, mixed], 5) == [mixed, little]
    assert least_pure([late, little, mixed], 1) == [mixed]
    assert [case.error_s for case in latest(found(late, followed(along(RIGHT))), 5)] == [3.0, 0.0]
    worst = poorest([query(1), query(2, 1), query(2, 3, 1, 4), query(crop=None)], count=5, hits=2)
    assert [(case.right_rank, len(case.query.hits)) for case in worst] == [(3, 2), (2, 2)]
    assert worst[0].average_precision == pytest.approx(1 / 3)


def test_the_least_found_is_shown_where_it_is_plainest() -> None:
    small, large = Box(0.70, 0.4, 0.75, 0.6), Box(0.7, 0.1, 0.85, 0.9)
    truth = Truth([*(sighting(1, t, LEFT) for t in TIMES), sighting(2, 0.0, small), sighting(2, 0.5, large)])
    looks = [look(t, LEFT) for t in TIMES[:5]] + [look(t) for t in TIMES[5:]]
    worst = least_found(truth, looks, found(truth=truth), 5)
    assert [(case.moment.person, case.found) for case in worst] == [(2, Share(0, 2)), (1, Share(5, 20))]
    assert worst[0].moment.box == large
