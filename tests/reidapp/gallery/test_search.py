"""Search is exact: held against all cosines computed by numpy."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.errors import UnknownError, UserError
from reidapp.gallery import schema, search
from reidapp.gallery.facts import PathPoint, utc
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from reidapp.kreciprocal import Reranking
from reidapp.model_card import ModelCard

DIM = 32
DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
WEBP = b"stands for a picture"


class Model:
    card = ModelCard("test", "1", 128, 64, DIM)
    identity = "ab" * 32
    provider = "none"

    def embed(self, crops: object, camera: str | None = None) -> np.ndarray:
        return np.empty((0, DIM), np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def new_gallery(folder: Path) -> Gallery:
    file = folder / "model.onnx"
    file.write_bytes(b"stands for a model")
    return Gallery.create(folder / "gallery", file, Model.card, Model.identity)


def add_video(gallery: Gallery, number: int, camera: str, chunks: list[NewChunk], start_ms: int) -> str:
    video_id = schema.identifier("video", number)
    with gallery.writing() as writer:
        video = schema.Video(
            id=video_id, path=f"/none/{number}.mp4", size=1, mtime_ns=1, start_ms=start_ms, start_source="name",
            duration_s=60.0 * len(chunks), width=640, height=360, settings={}, done=True, note=None,
        )  # fmt: skip
        writer.add_video(camera, "UTC", video)
        for chunk in chunks:
            writer.add_chunk(video_id, chunk)
    return video_id


def chunk_of(number: int, tracklets: list[tuple[float, np.ndarray]], continues: str | None = None) -> NewChunk:
    """Each tracklet: when it begins, and the embeddings of its crops ``[crops, D]``; ``continues`` is for the first."""
    box = Box(0.1, 0.1, 0.2, 0.5)
    new = [
        NewTracklet(
            [PathPoint(at, box), PathPoint(at + 2, box)],
            [NewCrop(at + i / 10, box, 0.5, WEBP) for i in range(len(rows))],
            continues if i == 0 else None,
        )
        for i, (at, rows) in enumerate(tracklets)
    ]
    embeddings = np.concatenate([rows for _, rows in tracklets]) if tracklets else np.empty((0, DIM), np.float32)
    return NewChunk(number, 60.0 * number, 120, 10, 60.0 * number + 59, new, embeddings)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, list[tuple[str, float, np.ndarray]]]:
    """A gallery of 3 cameras over 3 days, and its tracklets: (camera, start in ms, embeddings)."""
    rng = np.random.default_rng(0)
    gallery = new_gallery(tmp_path_factory.mktemp("search"))
    truth = []
    for number in range(9):
        camera, start_ms = ("gate", "hall", "yard")[number % 3], START_MS + number // 3 * DAY_MS
        chunks = []
        for chunk in range(3):
            tracklets = []
            for at in (1.0, 20.0, 40.0):
                rows = unit(rng.normal(size=(int(rng.integers(1, 5)), DIM)))
                tracklets.append((chunk * 60 + at, rows))
                truth.append((camera, start_ms + (chunk * 60 + at) * 1000, rows))
            chunks.append(chunk_of(chunk, tracklets))
        add_video(gallery, number, camera, chunks, start_ms)
    return gallery, truth


def brute_force(truth: list[tuple[str, float, np.ndarray]], query: np.ndarray) -> list[tuple[float, str, float]]:
    """(score, camera, start) of every tracklet, best first, with the stored half precision."""
    scored = [(float((rows.astype(np.float16).astype(np.float32) @ query).max()), c, s) for c, s, rows in truth]
    return sorted(scored, reverse=True)


@pytest.mark.parametrize("top", [1, 5, 81, 200])
def test_the_best_tracklets_each_once_best_first(filled: tuple, top: int) -> None:
    gallery, truth = filled
    query = unit(np.random.default_rng(top).normal(size=DIM))
    hits = Searcher(gallery, Model()).search(query[None], top=top).hits
    expected = brute_force(truth, query)[:top]
    assert [hit.rank for hit in hits] == list(range(1, len(expected) + 1))
    np.testing.assert_allclose([hit.score for hit in hits], [max(score, 0.0) for score, _, _ in expected], atol=2e-6)
    assert [hit.camera for hit in hits] == [camera for _, camera, _ in expected]
    assert len({hit.tracklet for hit in hits}) == len(hits)


@pytest.mark.parametrize("cameras", [None, ["hall"], ["gate", "yard"]])
@pytest.mark.parametrize("after_s", [None, 0, 62.0, 2 * 86_400 + 100])
@pytest.mark.parametrize("before_s", [None, 30.0, 86_400 + 130])
def test_filters_lose_no_hit_and_let_none_through(
    filled: tuple, cameras: list[str] | None, after_s: float | None, before_s: float | None
) -> None:
    gallery, truth = filled
    start = utc(START_MS)
    query = unit(np.random.default_rng(7).normal(size=DIM))
    result = Searcher(gallery, Model()).search(
        query[None],
        cameras=cameras,
        after=None if after_s is None else start + timedelta(seconds=after_s),
        before=None if before_s is None else start + timedelta(seconds=before_s),
        top=100,
    )
    kept = [
        (camera, at, rows)
        for camera, at, rows in truth
        if (cameras is None or camera in cameras)
        and (after_s is None or at + 2000 >= START_MS + after_s * 1000)  # every tracklet lasts two seconds
        and (before_s is None or at <= START_MS + before_s * 1000)
    ]
    assert [(hit.camera, hit.start) for hit in result.hits] == [(c, utc(s)) for _, c, s in brute_force(kept, query)]
    assert result.rows == sum(len(rows) for _, _, rows in kept)


@pytest.mark.slow
def test_a_tracklet_with_many_crops_hides_no_other(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    query = unit(rng.normal(size=DIM))
    crowd = unit(query + 0.01 * rng.normal(size=(400, DIM)))
    others = [(10.0 + i, unit(query + rng.normal(size=(1, DIM)))) for i in range(4)]
    gallery = new_gallery(tmp_path)
    add_video(gallery, 0, "gate", [chunk_of(0, [(1.0, crowd), *others])], START_MS)
    assert len(Searcher(gallery, Model()).search(query[None], top=5).hits) == 5


def test_a_hit_s_reason(filled: tuple) -> None:
    gallery, truth = filled
    query = unit(np.random.default_rng(4).normal(size=DIM))
    hits = Searcher(gallery, Model()).search(query[None], top=81).hits
    at = {(camera, utc(start)): rows.astype(np.float16).astype(np.float32) @ query for camera, start, rows in truth}
    for hit in hits:
        assert hit.reason
        shots = np.sort(at[hit.camera, hit.start])
        assert (hit.reason.rank_by_score, hit.reason.distance) == (hit.rank, None)
        assert hit.reason.score == pytest.approx(shots[-1], abs=2e-6)
        assert hit.reason.shots == pytest.approx(shots[-2:].mean(), abs=2e-6)
    assert hits[-1].reason
    assert hits[-1].reason.score < 0 == hits[-1].score


def test_reranking_looks_at_neighbours_and_says_so(filled: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same order as that of all tracklets' best rows; the hits are the same."""
    gallery, truth = filled
    query = unit(np.random.default_rng(6).normal(size=(2, DIM)))
    mean = unit(query.mean(0))
    stored = [rows.astype(np.float16).astype(np.float32) for *_, rows in truth]
    best = unit(np.stack([rows[(rows @ mean).argmax()] for rows in stored]))
    slow = Reranking(mean[None], best, k1=10, k2=3).distances(slice(0, 1))[0]
    hits = Searcher(gallery, Model()).search(query, top=200, rerank=True).hits
    distance = {(camera, utc(start)): each for (camera, start, _), each in zip(truth, slow, strict=True)}
    distances = [hit.reason.distance for hit in hits if hit.reason and hit.reason.distance is not None]
    np.testing.assert_allclose(distances, [distance[hit.camera, hit.start] for hit in hits], atol=1e-5)
    np.testing.assert_allclose(distances, np.sort(slow), atol=1e-5)
    by_score = Searcher(gallery, Model()).search(query, top=200).hits
    place = {hit.tracklet: hit.rank for hit in by_score}
    assert [hit.reason and hit.reason.rank_by_score for hit in hits] == [place[hit.tracklet] for hit in hits]
    assert [hit.tracklet for hit in hits] != [hit.tracklet for hit in by_score]
    few = Searcher(gallery, Model()).search(query, top=3, rerank=True).hits
    assert [hit.tracklet for hit in few] == [hit.tracklet for hit in hits[:3]]
    assert Searcher(gallery, Model()).search(query, before=utc(0), rerank=True).hits == []
    monkeypatch.setattr(search, "RERANKED", 20)
    part = Searcher(gallery, Model()).search(query, top=200, rerank=True).hits
    assert {hit.tracklet for hit in part[:20]} == {hit.tracklet for hit in by_score[:20]}
    assert [hit.tracklet for hit in part[20:]] == [hit.tracklet for hit in by_score[20:]]
    assert [hit.reason and hit.reason.distance for hit in part[20:]] == [None] * (len(part) - 20)


def test_pieces_that_continue_are_one_hit_that_spans_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [unit(rng.normal(size=(2, DIM))) for _ in range(3)]
    gallery = new_gallery(tmp_path)
    video_id = schema.identifier("video", 0)
    pieces = [schema.identifier(schema.identifier(video_id, n), 0) for n in range(3)]
    chunks = [
        chunk_of(0, [(57.0, rows[0])]),
        chunk_of(1, [(60.5, rows[1])], continues=pieces[0]),
        chunk_of(2, [(120.5, rows[2])], continues=pieces[1]),
    ]
    add_video(gallery, 0, "gate", chunks, START_MS)
    for piece in range(3):  # whichever piece is most like the query
        (hit,) = Searcher(gallery, Model()).search(rows[piece][:1], top=10).hits
        assert hit.tracklet == pieces[0]
        assert hit.score == pytest.approx(1.0, abs=1e-3)
        assert (hit.start, hit.end) == (utc(START_MS + 57_000), utc(START_MS + 122_500))
        assert hit.best_s == pytest.approx((57.0, 60.5, 120.5)[piece])
    whole = gallery.tracklet(pieces[1])
    assert [point.time_s for point in whole.path] == [57.0, 59.0, 60.5, 62.5, 120.5, 122.5]
    assert len(whole.crops) == 6
    assert gallery.cameras()[0].tracklets == 1


def test_tracklets_are_told_in_the_order_they_were_asked_for(filled: tuple) -> None:
    gallery, _ = filled
    everybody = gallery.tracklets()
    some = [everybody[3], everybody[0], everybody[3]]
    assert gallery.tracklets_called([tracklet.id for tracklet in some]) == some
    assert [tracklet.id for tracklet in everybody] == sorted(tracklet.id for tracklet in everybody)
    assert gallery.tracklets_called([]) == []
    with pytest.raises(UnknownError, match="tracklet none: not in this gallery"):
        gallery.tracklets_called([everybody[0].id, "none"])


def test_several_images_are_one_query(filled: tuple) -> None:
    gallery, truth = filled
    images = unit(np.random.default_rng(3).normal(size=(3, DIM)))
    hits = Searcher(gallery, Model()).search(images, top=3).hits
    expected = brute_force(truth, unit(images.mean(0)))[:3]
    assert [(hit.camera, hit.start) for hit in hits] == [(camera, utc(start)) for _, camera, start in expected]


def test_what_is_committed_is_found_at_once_by_a_searcher_that_was_open_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    gallery = new_gallery(tmp_path)
    searcher = Searcher(gallery, Model())
    query = unit(rng.normal(size=(1, DIM)))
    assert searcher.search(query).hits == []
    add_video(gallery, 0, "gate", [chunk_of(0, [(5.0, query)])], START_MS)
    (hit,) = searcher.search(query).hits
    assert hit.camera == "gate"
    assert hit.start == utc(START_MS + 5000)


def test_an_unknown_camera_is_said_with_the_nearest_name(filled: tuple) -> None:
    with pytest.raises(
        UserError, match=r'camera "gat" is not in this gallery; did you mean "gate"\?; known: gate, hall'
    ):
        Searcher(filled[0], Model()).search(np.ones((1, DIM), np.float32), cameras=["gat"])


def test_another_model_is_refused(filled: tuple) -> None:
    class Other(Model):
        identity = "cd" * 32
        card = ModelCard("other", "1", 128, 64, DIM)

    with pytest.raises(UserError, match=r'made by model "test" .* the query model is "other"'):
        Searcher(filled[0], Other())


def test_a_hit_as_json_keeps_the_contract(filled: tuple) -> None:
    query = unit(np.random.default_rng(5).normal(size=(1, DIM)))
    fields = Searcher(filled[0], Model()).search(query, top=1).hits[0].to_dict()
    assert set(fields) >= {
        "rank", "tracklet", "camera", "video", "start", "end", "score", "p_match", "box", "thumbnail"
    }  # fmt: skip
    assert fields["p_match"] is None
    assert fields["reason"]["rank_by_score"] == fields["rank"]
    assert fields["start"].endswith("Z")
    assert Path(fields["thumbnail"]).read_bytes() == WEBP
    assert 0 <= fields["score"] <= 1
    assert len(fields["box"]) == 4
