"""What users have said of tracklets becomes who is one person and who is two, however they contradict one another."""

import random
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.gallery import database
from reidapp.gallery.identities import Identities, forget_tracklets
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.store import Gallery
from reidapp.gallery.user_labels import UserLabels, user_labels
from tests.reidapp.gallery.test_identities import IDS, fill
from tests.reidapp.gallery.test_search import new_gallery


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    gallery = new_gallery(tmp_path)
    fill(gallery)
    return gallery


def called(*numbers: int) -> list[str]:
    return [IDS[number] for number in numbers]


def said(gallery: Gallery) -> UserLabels:
    return user_labels(gallery, IDS)


def groups(labels: UserLabels) -> list[list[int]]:
    return sorted(sorted(IDS.index(id_) for id_ in group) for group in labels.together)


def are_two(labels: UserLabels, one: int, other: int) -> bool:
    """By the first ones of their groups."""
    first = {id_: group[0] for group in labels.together for id_ in group}
    pair = {first.get(IDS[number], IDS[number]) for number in (one, other)}
    return len(pair) == 2 and tuple(sorted(pair)) in labels.apart


def answered(
    gallery: Gallery,
    name: str,
    yes: Sequence[int] = (),
    no: Sequence[int] = (),
    asked: Sequence[int] = (),
    identity: str | None = None,
) -> None:
    searches = SavedSearches(gallery, "ana")
    searches.save(name, [], called(*asked), identity)
    searches.answer(name, called(*yes), called(*no))


def test_nothing_said(gallery: Gallery) -> None:
    assert said(gallery) == UserLabels([], [], 0)


def test_names(gallery: Gallery) -> None:
    ana = Identities(gallery, "ana")
    ana.new("Alice", called(0, 1, 9))
    ana.new("Bob", called(2, 3))
    ana.add("Alice", called(4), "no")
    ana.new("Nobody yet")
    ana.add("Nobody yet", called(5), "no")
    labels = said(gallery)
    assert groups(labels) == [[0, 1, 9], [2, 3]]
    assert len(labels.apart) == 2
    assert are_two(labels, 9, 3)
    assert are_two(labels, 4, 1)
    assert not are_two(labels, 4, 2)
    assert labels.contradicted == 0
    assert "Alice" not in repr(labels)


def test_what_is_taken_back_does_not_count(gallery: Gallery) -> None:
    ana = Identities(gallery, "ana")
    ana.new("Alice", called(0, 1, 2))
    ana.new("Bob", called(3, 4))
    ana.add("Bob", called(5), "no")
    ana.remove("Alice", called(2))
    ana.delete("Bob")
    assert (groups(said(gallery)), said(gallery).apart) == ([[0, 1]], [])
    ana.undo()
    labels = said(gallery)
    assert groups(labels) == [[0, 1], [3, 4]]
    assert are_two(labels, 0, 3)
    assert are_two(labels, 5, 4)
    ana.merge("Bob", "Alice")
    assert groups(said(gallery)) == [[0, 1, 3, 4]]


def test_tracklets_that_are_gone_say_nothing(gallery: Gallery) -> None:
    Identities(gallery, "ana").new("Alice", called(0, 1, 2))
    answered(gallery, "a picture", yes=[5, 6], no=[7])
    assert user_labels(gallery, called(1, 2, 5, 7)) == UserLabels(
        [sorted(called(1, 2))], [(min(called(5, 7)), max(called(5, 7)))], 0
    )
    with database.changing(gallery.engine) as session:
        forget_tracklets(session, called(1, 2))
    assert groups(said(gallery)) == [[5, 6]]


def test_answers_to_a_search_for_somebody(gallery: Gallery) -> None:
    Identities(gallery, "ana").new("Alice", called(0, 1))
    answered(gallery, "for a name", yes=[2], no=[3], identity="Alice")
    answered(gallery, "for a hit", yes=[5], no=[6], asked=[4])
    labels = said(gallery)
    assert groups(labels) == [[0, 1, 2], [4, 5]]
    assert are_two(labels, 3, 1)
    assert are_two(labels, 6, 5)
    assert labels.contradicted == 0


def test_a_picture_links_those_that_are_a_yes_and_nobody_else(gallery: Gallery) -> None:
    answered(gallery, "a picture", yes=[0, 1], no=[2, 3])
    labels = said(gallery)
    assert groups(labels) == [[0, 1]]
    assert are_two(labels, 1, 2)
    assert not are_two(labels, 2, 3)
    SavedSearches(gallery, "ana").delete("a picture")
    assert said(gallery) == UserLabels([], [], 0)


def test_two_searches_that_share_a_tracklet_are_for_one_person(gallery: Gallery) -> None:
    answered(gallery, "one", yes=[0, 1], no=[4])
    answered(gallery, "two", yes=[1, 2])
    labels = said(gallery)
    assert groups(labels) == [[0, 1, 2]]
    assert are_two(labels, 2, 4)


def test_a_name_counts_before_answers(gallery: Gallery) -> None:
    ana = Identities(gallery, "ana")
    ana.new("Alice", called(0, 1))
    ana.new("Bob", called(2, 3))
    ana.add("Alice", called(4), "no")
    answered(gallery, "slips", yes=[3, 4, 5], no=[1, 6], identity="Alice")
    labels = said(gallery)
    assert groups(labels) == [[0, 1, 5], [2, 3]]
    assert are_two(labels, 6, 5)
    assert labels.contradicted == 3  # 3 is Bob, 4 is not Alice, 1 is Alice


def test_a_picture_of_two_people_links_the_rest(gallery: Gallery) -> None:
    ana = Identities(gallery, "ana")
    ana.new("Alice", called(0, 1))
    ana.new("Bob", called(2, 3))
    answered(gallery, "a picture", yes=[0, 2, 5, 6])
    labels = said(gallery)
    assert groups(labels) == [[0, 1], [2, 3], [5, 6]]
    assert labels.contradicted == 2


def test_a_no_counts_before_a_yes(gallery: Gallery) -> None:
    answered(gallery, "one", yes=[0, 1])
    answered(gallery, "two", yes=[0, 2], no=[1])
    labels = said(gallery)
    assert groups(labels) == [[0, 2]]
    assert are_two(labels, 1, 2)
    assert labels.contradicted == 2  # of the first search neither is known to be who was asked for


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_whatever_is_said_the_labels_agree_with_each_other_and_with_the_names(gallery: Gallery, seed: int) -> None:
    rng, ana = random.Random(seed), Identities(gallery, "ana")
    for name in ("Alice", "Bob", "Carol"):
        ana.new(name)
        for number in rng.sample(range(10), 4):
            with suppress(UserError):  # it shows another
                ana.add(name, called(number), rng.choice(["yes", "yes", "no"]))
    for number in range(5):
        some = rng.sample(range(10), 6)
        whom = rng.choice([None, "Alice", "Bob"])
        answered(gallery, str(number), yes=some[:3], no=some[3:5], asked=some[5:][: rng.randint(0, 1)], identity=whom)
    labels = said(gallery)
    inside = [id_ for group in labels.together for id_ in group]
    assert len(inside) == len(set(inside))
    assert not any(set(pair) <= set(group) for pair in labels.apart for group in labels.together)
    assert labels.apart == sorted(set(labels.apart))
    shown = {each.name: [IDS.index(id_) for id_ in each.tracklets("yes")] for each in ana.all()}
    together = groups(labels)
    for ids in shown.values():
        assert len(ids) < 2 or any(set(ids) <= set(group) for group in together)
    for one, other in combinations(shown.values(), 2):
        assert all(are_two(labels, a, b) for a in one for b in other)
    for each in ana.all():
        refused = [IDS.index(id_) for id_ in each.tracklets("no")]
        assert all(are_two(labels, a, b) for a in shown[each.name] for b in refused)
