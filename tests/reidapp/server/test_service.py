import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reidapp.asking import Question
from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.search import SearchResult
from reidapp.gallery.travel_times import TravelTimes, keep
from reidapp.query import QueryCrop
from reidapp.server import service as module
from reidapp.server.service import Kept, Part, Queries, Query, SearchService, Wanted
from tests.small_gallery import FOOTAGE, HOSTILE, START, frame_at, make_service, png, query_crop


def search(service: SearchService, query_id: str, box: Box | None = None, **among: Any) -> SearchResult:
    return service.find(Wanted(Question(crops=service.crops([Part(query_id, box)])), **among), "test").result


def test_finds_the_person_on_every_camera(service: SearchService) -> None:
    query = service.take_query(png(query_crop("red")), "red")
    hits = search(service, query.id).hits
    assert {hit.camera for hit in hits[:3]} == {"Gate", HOSTILE, "Hall"}
    assert hits[2].score > hits[3].score


def test_searches_with_the_person_that_is_meant(service: SearchService) -> None:
    query = service.take_query(png(frame_at(FOOTAGE["Gate", "Europe/Berlin"], 5.2)), "frame")
    red, green = sorted(query.people, key=lambda person: person.box.x1)
    assert search(service, query.id, green.box).hits[0].start.second == 5
    assert len({hit.camera for hit in search(service, query.id, red.box, top=3).hits}) == 3


def test_filters(service: SearchService) -> None:
    query = service.take_query(png(query_crop("red")), "red")
    assert {hit.camera for hit in search(service, query.id, cameras=("Hall",)).hits} == {"Hall"}
    assert len(search(service, query.id).hits) == 6
    assert search(service, query.id, cameras=()).hits == []
    assert search(service, query.id, before=START).hits == []


def test_travel_times_order_hits_where_the_person_was_seen_and_they_were_learnt(tmp_path: Path) -> None:
    service = make_service(tmp_path)
    red = next(each for each in service.gallery.tracklets() if each.camera == "Gate" and each.start.second == 1)
    by_times = Wanted(Question(tracklets=[red.id]), travel_times=True)
    with pytest.raises(UserError, match="travel times: none yet"):
        service.find(by_times, "test")
    keep(service.gallery, TravelTimes("label-free", "2026-03-03T00:00:00Z", ()))
    found = service.find(by_times, "test").result
    assert len(found.hits) == 5
    assert [hit.reason.prior for hit in found.hits if hit.reason] == [0.0] * 5  # nothing is known of these cameras
    assert any("ordered by travel times" in line for line in found.told(False))
    query = service.take_query(png(query_crop("red")), "red")
    with pytest.raises(UserError, match="a picture has no camera and time"):
        search(service, query.id, travel_times=True)


def test_a_picture_of_nobody_is_compared_as_it_is_and_that_is_said(service: SearchService) -> None:
    query = service.take_query(png(frame_at([], 0.5)), "empty")
    assert (query.people, query.is_crop) == ((), False)
    found = service.find(Wanted(Question(crops=service.crops([Part(query.id)]))), "test")
    assert found.result.hits
    assert found.warnings[0].kind == "nobody"
    drawn = service.find(Wanted(Question(crops=service.crops([Part(query.id, Box(0.1, 0.1, 0.3, 0.9))]))), "test")
    assert "nobody" not in {warning.kind for warning in drawn.warnings}


def test_many_threads_get_the_same_answer(service: SearchService) -> None:
    query = service.take_query(png(query_crop("blue")), "blue")
    expected = [hit.tracklet for hit in search(service, query.id).hits]
    got: list[list[str]] = []

    def ask() -> None:
        got.append([hit.tracklet for hit in search(service, query.id).hits])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 8


def a_query(name: str, size: int = 10) -> Query:
    return Query(name, bytes(size), 1, 1, (), True)


def test_queries_are_forgotten_after_their_time() -> None:
    now = 0.0
    queries = Queries(lifetime_s=60, clock=lambda: now)
    queries.add(a_query("old"))
    now = 50
    queries.add(a_query("young"))
    assert queries.get("old").id == "old"  # used again: its time starts anew
    now = 105
    assert queries.get("old").id == "old"
    now = 130
    with pytest.raises(UserError, match="no longer kept"):
        queries.get("young")


def test_queries_stay_within_their_memory() -> None:
    queries = Queries(max_bytes=100)
    for name in "abc":
        queries.add(a_query(name, 40))
    with pytest.raises(UserError):
        queries.get("a")
    assert queries.get("c").id == "c"


def test_what_is_kept_is_weighed_once_however_much_there_is() -> None:
    """Thousands are; a look at all of them at each call held everybody up."""
    weighed: list[int] = []

    def size_of(item: int) -> int:
        weighed.append(item)
        return item

    kept: Kept[int] = Kept("gone", max_size=100, size_of=size_of)
    for item in (40, 30, 20):
        kept.keep(str(item), item)
    for _ in range(5):
        assert kept.get("40") == 40
    weighed.clear()
    assert kept.get("30") == 30
    assert len(weighed) <= 1
    kept.keep("20", 25)  # in its place
    kept.keep("6", 6)  # 101: the one that was not used for longest goes
    with pytest.raises(UserError, match="gone"):
        kept.get("40")
    assert [kept.get(name) for name in ("30", "20", "6")] == [30, 25, 6]
    kept.clear()
    kept.keep("100", 100)
    assert kept.get("100") == 100


@pytest.mark.slow
def test_large_pictures_are_refused(service: SearchService) -> None:
    with pytest.raises(UserError, match="megapixels"):
        service.take_query(png(np.zeros((8000, 8000, 3), np.uint8)), "huge.png")


@pytest.mark.slow
def test_what_a_search_keeps_is_small_and_a_picture_is_decoded_once(
    service: SearchService, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = service.take_query(png(np.zeros((900, 1600, 3), np.uint8)), "large")
    decoded = []
    read = module.read_image
    monkeypatch.setattr(module, "read_image", lambda *given: decoded.append(given) or read(*given))
    boxes = [Box(0, 0, 1, 1), Box(0.25, 0, 0.5, 1), Box(0, 0, 1, 1)]
    crops = service.crops([Part(query.id, box) for box in boxes])
    assert len(decoded) == 1
    assert [crop.image.shape for crop in crops] == [(384, 683, 3), (384, 171, 3), (384, 683, 3)]
    (small,) = service.crops([Part(query.id, Box(0, 0, 0.1, 0.1))])
    assert small.image.base is None  # a view would keep the whole picture
    monkeypatch.setattr(module, "MAX_QUERY_PIXELS", 2 * 900 * 1600)
    others = [service.take_query(query.data, "large").id for _ in range(2)]
    assert len(service.crops([Part(query.id, box) for box in boxes * 5])) == 15
    with pytest.raises(UserError, match="together more than"):
        service.crops([Part(id_, boxes[0]) for id_ in (query.id, *others)])


def test_searches_stay_within_their_memory(service: SearchService) -> None:
    crop = QueryCrop(np.zeros((1000, 1000, 3), np.uint8), None, [])
    for number in range(10):
        service.searches.keep(f"large {number}", Wanted(Question(crops=[crop] * 10)))
    assert service.searches.get("large 9").size > 30_000_000
    with pytest.raises(UserError, match="no longer kept"):
        service.searches.get("large 0")
