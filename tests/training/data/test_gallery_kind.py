"""``gallery:DIR``: what indexing stored, as data to train on."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.erasure import Subject, erase
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk
from tests.reidapp.gallery.test_search import DIM, START_MS, add_video, chunk_of, new_gallery
from tests.small_gallery import FOOTAGE, START, make_gallery
from tests.training.methods.clustered import SAMPLER
from training.data.datasets import NO_TRACKLET, UNLABELLED, load_dataset, load_datasets
from training.data.datasets.gallery import Gallery as Crops
from training.methods.cluster_contrast import ClusterContrast
from training.methods.ise import ISE
from training.methods.spcl import SpCL
from training.recipe import Schedule


def test_every_crop_with_camera_tracklet_and_time(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    dataset = load_dataset(f"gallery:{gallery.path}")
    names = [camera.name for camera in gallery.cameras()]
    known = {crop.file: tracklet for tracklet in gallery.tracklets() for crop in tracklet.crops}
    assert {record.path for record in dataset.train} == set(known)
    for record in dataset.train:
        tracklet = known[record.path]
        assert record.pid == UNLABELLED
        assert names[record.camid] == tracklet.camera
        assert dataset.tracklets[record.tracklet] == tracklet.id  # type: ignore[attr-defined]
        assert record.time_s is not None
        assert tracklet.start.timestamp() <= record.time_s <= tracklet.end.timestamp()
    starts = sorted({round(record.time_s or 0) // 60 for record in dataset.train})
    assert starts == [(START + timedelta(minutes=i)).timestamp() // 60 for i in range(len(FOOTAGE))]


def walk(chunk: int, boxes: list[list[Box]], continues: list[str | None] | None = None) -> NewChunk:
    """A tracklet for each list of boxes, at seconds 0, 1, 2, … of the chunk; all are there from the first second."""
    made = chunk_of(chunk, [(60.0 * chunk, np.ones((1, DIM), np.float32)) for _ in boxes])
    tracklets = [
        replace(
            tracklet,
            path=[PathPoint(60.0 * chunk + second, box) for second, box in enumerate(path)],
            continues=(continues or [None] * len(boxes))[number],
        )
        for number, (tracklet, path) in enumerate(zip(made.tracklets, boxes, strict=True))
    ]
    return replace(made, tracklets=tracklets)


LEFT, MIDDLE, RIGHT = Box(0.0, 0.2, 0.1, 0.9), Box(0.05, 0.2, 0.15, 0.9), Box(0.8, 0.2, 0.9, 0.9)


def pairs_of(folder: Path, chunks: list[NewChunk]) -> tuple[Gallery, list[tuple[str, str]]]:
    gallery = new_gallery(folder)
    add_video(gallery, 0, "gate", chunks, START_MS)
    return gallery, simultaneous(gallery)


def test_people_of_one_camera_and_time_are_apart(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for number, camera in enumerate(["gate", "hall"]):
        add_video(gallery, number, camera, [walk(0, [[LEFT, LEFT], [RIGHT, RIGHT]])], START_MS)
    dataset = load_dataset(f"gallery:{gallery.path}")
    camera_of = {tracklet.id: tracklet.camera for tracklet in gallery.tracklets()}
    pairs = simultaneous(gallery)
    assert [sorted({camera_of[one], camera_of[other]}) for one, other in pairs] in (
        [["gate"], ["hall"]],
        [["hall"], ["gate"]],
    )
    assert [(dataset.tracklets[a], dataset.tracklets[b]) for a, b in dataset.apart] == pairs  # type: ignore[attr-defined]


def test_what_users_say_counts_before_what_tracking_saw(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for number, camera in enumerate(["gate", "hall"]):
        add_video(gallery, number, camera, [walk(0, [[LEFT, LEFT], [MIDDLE], [RIGHT, RIGHT]])], START_MS)
    plain = Crops(gallery.path)
    assert (plain.together, plain.remarks, plain.at_once) == ([], [], plain.apart)
    by_place = {(t.camera, t.path[0].box): t.id for t in gallery.tracklets()}
    left, right, there = (by_place[place] for place in (("gate", LEFT), ("gate", RIGHT), ("hall", LEFT)))
    elsewhere = by_place["hall", RIGHT]
    ana, at = Identities(gallery, "ana"), {id_: place for place, id_ in enumerate(plain.tracklets)}
    ana.new("Zdenka", [left, right, there])  # the first two were seen at once: say, in a mirror
    ana.add("Zdenka", [elsewhere], "no")
    data = load_dataset(f"gallery:{gallery.path}")
    assert isinstance(data, Crops)
    assert data.together == [sorted(at[id_] for id_ in (left, right, there))]
    mirrored = tuple(sorted((at[left], at[right])))
    assert data.at_once == [pair for pair in plain.at_once if pair != mirrored] != plain.at_once
    said = (at[elsewhere], data.together[0][0])
    assert data.apart == sorted({*data.at_once, (min(said), max(said))})
    assert data.remarks == [
        "labels that users gave: 3 tracklets of 1 person, 1 pair told apart; not counted: 1 pair seen at the same "
        "time, of whom a user says that they are one"
    ]
    SavedSearches(gallery, "ana").save("again", [], identity="Zdenka")
    SavedSearches(gallery, "ana").answer("again", yes=[elsewhere], no=[left])
    assert load_dataset(data.spec).remarks[0].endswith("they are one, 2 answers against names or other answers")

    with gallery.writing() as writer:
        erase(writer, Subject(identity="Zdenka"), "test")
    left_over = Crops(gallery.path)
    assert (left_over.together, left_over.remarks, left_over.apart) == ([], [], left_over.at_once)


@pytest.mark.parametrize("kind", [ClusterContrast, ISE, SpCL])
def test_who_looks_like_a_camera_is_clustered_by_what_users_say(tmp_path: Path, kind: type) -> None:
    gallery, cameras = new_gallery(tmp_path), ["gate", "hall", "yard"]
    for number, camera in enumerate(cameras):
        add_video(gallery, number, camera, [walk(0, [[LEFT], [RIGHT]])], START_MS)
    left, right = (
        [next(t.id for t in gallery.tracklets() if (t.camera, t.path[0].box) == (name, box)) for name in cameras]
        for box in (LEFT, RIGHT)
    )

    def clusters() -> dict[str, int]:
        data = Crops(gallery.path)
        looks = torch.nn.functional.one_hot(torch.tensor([record.camid for record in data.train])).float()
        facts = {"sampler": SAMPLER, "clustering": {"dbscan": {"eps": 0.2, "metric": "cosine", "min_samples": 2}}}
        schedule = {"schedule": Schedule(lr=1e-3, epochs=1)} if kind is ISE else {}
        known = {"together": data.together, "apart": data.apart}
        method = kind(data.train, dims={"features": 3}, recipe="r", **facts, **known, **schedule)
        found = method.cluster(looks).tolist()
        return {data.tracklets[record.tracklet]: cluster for record, cluster in zip(data.train, found, strict=True)}

    assert set(clusters().values()) == {-1}  # looks say two of a camera are one, tracking that they are not
    Identities(gallery, "ana").new("Zdenka", left)
    SavedSearches(gallery, "ana").save("a picture", [])
    SavedSearches(gallery, "ana").answer("a picture", yes=right[:2], no=right[2:])
    found = clusters()
    assert [found[id_] for id_ in left] == [0, 0, 0]
    assert [found[id_] for id_ in right] == [1, 1, -1]


def test_a_double_detection_is_left_out_however_seldom_it_overlaps(tmp_path: Path) -> None:
    _, pairs = pairs_of(tmp_path, [walk(0, [[LEFT, LEFT], [RIGHT, MIDDLE]])])
    assert pairs == []


def test_those_who_never_share_a_frame_say_nothing(tmp_path: Path) -> None:
    late = replace(walk(0, [[LEFT], [RIGHT]]))
    late = replace(late, tracklets=[late.tracklets[0], replace(late.tracklets[1], path=[PathPoint(9.0, RIGHT)])])
    assert pairs_of(tmp_path, [late])[1] == []


def test_pieces_of_one_tracklet_count_as_one(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    first = walk(0, [[LEFT], [RIGHT]])
    video = add_video(gallery, 0, "gate", [first], START_MS)
    one, other = (t.id for t in gallery.tracklets())
    by_place = {t.path[0].box: t.id for t in gallery.tracklets()}
    with gallery.writing() as writer:  # both go on, and then they touch
        writer.add_chunk(video, walk(1, [[LEFT], [RIGHT]], [by_place[LEFT], by_place[RIGHT]]))
    assert simultaneous(gallery) == [(min(one, other), max(one, other))]
    assert len(load_dataset(f"gallery:{gallery.path}").tracklets) == 2  # type: ignore[attr-defined]
    pieces = [i for i in _ids(gallery) if i not in (one, other)]
    assert len(pieces) == 2
    with gallery.writing() as writer:
        last = dict(zip((LEFT, RIGHT), _ids_of_chunk(video, 1), strict=True))
        writer.add_chunk(video, walk(2, [[LEFT], [MIDDLE]], [last[LEFT], last[RIGHT]]))
    assert simultaneous(gallery) == []


def _ids(gallery: Gallery) -> list[str]:
    with gallery.engine.connect() as connection:
        return [row[0] for row in connection.exec_driver_sql("SELECT id FROM tracklet")]


def _ids_of_chunk(video: str, number: int) -> list[str]:
    from reidapp.gallery import schema

    return [schema.identifier(schema.identifier(video, number), index) for index in range(2)]


def test_two_galleries_share_no_camera_and_no_tracklet(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pairs_of(tmp_path / name, [walk(0, [[LEFT], [RIGHT]])])
    both = load_datasets([f"gallery:{tmp_path / name / 'gallery'}" for name in ("one", "two")])
    first, second = ([r for r in both.train if r.domain == domain] for domain in (0, 1))
    for key in ("camid", "tracklet"):
        assert not {getattr(r, key) for r in first} & {getattr(r, key) for r in second}
    assert {r.pid for r in both.train} == {UNLABELLED}
    alone = load_dataset(f"gallery:{tmp_path / 'one' / 'gallery'}")
    assert len(both.apart) == 2 * len(alone.apart) > 0
    places = {r.tracklet: r.domain for r in both.train}
    assert all(places[a] == places[b] for a, b in both.apart)


def test_what_is_said_in_one_of_two_galleries_stays_there(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gallery = new_gallery(tmp_path / name)
        for number, camera in enumerate(["gate", "hall"]):
            add_video(gallery, number, camera, [walk(0, [[LEFT], [RIGHT]])], START_MS)
        Identities(gallery, "ana").new("Zdenka", [t.id for t in gallery.tracklets() if t.path[0].box == LEFT])
    both = load_datasets([f"gallery:{tmp_path / name / 'gallery'}" for name in ("one", "two")])
    places = {record.tracklet: (record.domain, record.camid) for record in both.train}
    assert [sorted(places[each] for each in group) for group in both.together] == [[(0, 0), (0, 1)], [(1, 2), (1, 3)]]
    assert len(both.remarks) == 2


def test_other_kinds_have_no_tracklets() -> None:
    from training.data.datasets import Record

    record = Record(Path("a.jpg"), 3)
    assert (record.tracklet, record.time_s) == (NO_TRACKLET, None)


def test_no_gallery_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no gallery here"):
        load_dataset(f"gallery:{tmp_path}")
    empty = make_gallery(tmp_path, empty=True)
    with pytest.raises(UserError, match="no usable image in it"):
        load_dataset(f"gallery:{empty.path}")


@pytest.mark.slow
def test_it_loads_neither_torch_nor_faiss() -> None:
    code = "import sys, training.data.datasets.gallery; print({'torch', 'faiss', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
