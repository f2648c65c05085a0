import shutil
from pathlib import Path

import numpy as np
import pytest

from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.imaging import read_image
from reidapp.kreciprocal import Reranking
from reidapp.metrics import evaluate_distances
from tests.training.conftest import write_crops
from training.data.datasets import load_dataset
from training.engine import train
from training.evaluation import evaluate
from training.recipe import load_recipe


@pytest.mark.slow
def test_run_and_export_score_the_same(run: Path, onnx_file: Path, crops: Path) -> None:
    of_run, of_file = (evaluate(model, f"market1501:{crops}", quiet=True) for model in (run, onnx_file))
    assert of_run.queries == of_file.queries == 12
    assert of_run.gallery == 24
    assert of_file.mAP == pytest.approx(of_run.mAP, abs=0.01)
    assert "Market-1501" in str(of_run)


def test_flip_is_in_the_protocol(onnx_file: Path, crops: Path) -> None:
    assert "flip-averaged" in evaluate(onnx_file, f"market1501:{crops}", flip=True, quiet=True).protocol


def test_threshold_is_given_where_there_are_pairs_enough(onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    write_crops(tmp_path / "query", range(21, 41), cameras=2, images=1)
    write_crops(tmp_path / "bounding_box_test", range(21, 41), cameras=2, images=2, seed=1)
    scores = evaluate(onnx_file, f"market1501:{tmp_path}", quiet=True)
    assert scores.verification is not None
    assert (scores.verification.genuine, scores.verification.impostors) == (40 * 2, 40 * 76)
    assert f"(cosine ≥ {scores.verification.threshold:.3f})" in str(scores)
    assert evaluate(onnx_file, f"market1501:{crops}", quiet=True).verification is None


def test_reranking_is_scored_as_the_whole_matrix_would_be(onnx_file: Path, crops: Path) -> None:
    embed = Embedder(onnx_file).embed
    dataset = load_dataset(f"market1501:{crops}")
    query, gallery = (embed([read_image(r.path) for r in part]) for part in (dataset.query, dataset.gallery))
    labels = [np.array([getattr(r, n) for r in p]) for p in (dataset.query, dataset.gallery) for n in ("pid", "camid")]
    expected = evaluate_distances(Reranking(query, gallery).distances(slice(None)), *labels)
    scores = evaluate(onnx_file, f"market1501:{crops}", rerank=True, quiet=True)
    assert scores.mAP == pytest.approx(expected.mAP)
    assert scores.cmc == expected.cmc
    assert "k-reciprocal re-ranking (k1 20, k2 6, λ 0.3)" in scores.protocol


def test_reranking_warns_of_single_shot_galleries(
    onnx_file: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(onnx_file, f"market1501:{crops}", rerank=True, quiet=True)
    assert "re-ranking" not in capsys.readouterr().err  # two right matches each
    for part in ("query", "bounding_box_test"):
        write_crops(tmp_path / part, range(21, 27), cameras=2, images=1, seed=len(part))
    evaluate(onnx_file, f"market1501:{tmp_path}", rerank=True, quiet=True)
    assert "1.0 right matches on average" in capsys.readouterr().err
    evaluate(onnx_file, f"market1501:{tmp_path}", quiet=True)
    assert "right matches" not in capsys.readouterr().err


def test_junk_is_no_neighbour_and_not_scored(onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    for part in ("query", "bounding_box_test"):
        shutil.copytree(crops / part, tmp_path / part)
    without = evaluate(onnx_file, f"market1501:{tmp_path}", rerank=True, quiet=True)
    for path in (tmp_path / "bounding_box_test").glob("*_01.jpg"):
        shutil.copy(path, path.with_name(path.name.replace(path.name[:4], "-1", 1)))
    with_junk = evaluate(onnx_file, f"market1501:{tmp_path}", rerank=True, quiet=True)
    assert len(list((tmp_path / "bounding_box_test").iterdir())) > with_junk.gallery
    assert with_junk == without


def test_folder_without_cameras(onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    for path in (crops / "bounding_box_test").iterdir():
        target = tmp_path / path.name[:4] / path.name[8:]
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    scores = evaluate(onnx_file, f"folder:{tmp_path}", quiet=True)
    assert "same camera kept" in scores.protocol
    assert scores.queries == 6


def listed(crops: Path, file: Path, cameras: int) -> str:
    """Every image is query and gallery; the first few have a camera."""
    lines = ["path,pid,camera,split"]
    for number, path in enumerate(sorted((crops / "bounding_box_test").iterdir())):
        camera = path.name[6] if number < cameras else ""
        lines += [f"{path},{path.name[:4]},{camera},{split}" for split in ("query", "gallery")]
    file.write_text("\n".join(lines))
    return f"manifest:{file}"


def test_a_file_that_is_query_and_gallery_does_not_find_itself(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else noise would score a Rank-1 of 100 %."""
    write_crops(tmp_path / "bounding_box_test", range(1, 13), cameras=1, images=2)
    noise = np.random.default_rng(0)
    monkeypatch.setattr("training.evaluation._embed_function", lambda *_: lambda crops: unit(noise, len(crops)))
    scores = evaluate(onnx_file, listed(tmp_path, tmp_path / "all.csv", cameras=0), quiet=True)
    assert (scores.queries, scores.matches_per_query) == (24, 1)
    assert scores.rank1 < 0.5
    shown: list[object] = []
    monkeypatch.setattr("training.figures.write_figures", lambda *given: shown.append(given[3]))
    evaluate(onnx_file, f"manifest:{tmp_path / 'all.csv'}", figures=tmp_path / "figures", quiet=True)
    (drawn,) = shown
    assert all(drawn.query[0].path != record.path for record, *_ in drawn.first(0))  # type: ignore[attr-defined]


def test_one_known_camera_makes_no_camera_of_the_others(onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    data = listed(crops, tmp_path / "all.csv", cameras=1)
    scores = evaluate(onnx_file, data, quiet=True)
    assert (scores.queries, scores.unscored) == (24, {})
    assert "same camera left out (Market-1501)" in scores.protocol
    assert "23 of no known camera" in scores.protocol


def test_same_camera_can_be_kept(onnx_file: Path, tmp_path: Path) -> None:
    write_crops(tmp_path / "bounding_box_test", range(1, 5), cameras=1, images=2)
    data = listed(tmp_path, tmp_path / "all.csv", cameras=8)
    with pytest.raises(UserError, match=r"only under the query's own camera \(8\). .*give --same-camera keep"):
        evaluate(onnx_file, data, quiet=True)
    kept = evaluate(onnx_file, data, same_camera="keep", quiet=True)
    assert (kept.queries, kept.matches_per_query) == (8, 1)
    with pytest.raises(UserError, match="--same-camera drop: remove or keep expected"):
        evaluate(onnx_file, data, same_camera="drop", quiet=True)


def unit(rng: np.random.Generator, rows: int) -> np.ndarray:
    x = rng.normal(size=(rows, 8)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_unreadable_images_are_in_the_protocol(onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    for part in ("query", "bounding_box_test"):
        (tmp_path / part).mkdir()
        for path in (crops / part).iterdir():
            (tmp_path / part / path.name).write_bytes(path.read_bytes())
    (tmp_path / "query" / "0021_c1s1_000000_01.jpg").write_text("no image")
    scores = evaluate(onnx_file, f"market1501:{tmp_path}", quiet=True)
    assert scores.queries == 11
    assert "1 unreadable left out" in scores.protocol


@pytest.mark.slow
def test_training_images_are_called_so(
    crops: Path, tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(crops / "bounding_box_train", tmp_path / "people" / "bounding_box_train")
    folders = tmp_path / "folders"
    for path in (crops / "bounding_box_train").iterdir():
        (folders / path.name[:4]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folders / path.name[:4] / path.name[5:])
    recipe = load_recipe("small", [*tiny, "schedule.epochs=1"])
    train(recipe, [f"folder:{folders}", f"market1501:{crops}"], tmp_path / "run", quiet=True)
    capsys.readouterr()
    assert "training images" in evaluate(tmp_path / "run", f"folder:{folders}/", quiet=True).protocol
    assert capsys.readouterr().err.count("these are the training images of the run") == 1
    assert "training images" not in evaluate(tmp_path / "run", f"market1501:{crops}", quiet=True).protocol
    assert "training images" not in capsys.readouterr().err


def test_a_ranking_of_one_person_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    write_crops(tmp_path / "only", range(1, 2), cameras=2, images=3)
    with pytest.raises(UserError, match="one identity only; a ranking of one person says nothing"):
        evaluate(onnx_file, f"folder:{tmp_path}", quiet=True)


def test_embeddings_of_a_run_have_length_one(run: Path) -> None:
    from models.run_folder import load_network

    crops = [np.random.default_rng(i).integers(0, 256, (40 + i, 20, 3), dtype=np.uint8) for i in range(3)]
    embeddings = load_network(run).embed_crops(crops)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert load_network(run).embed_crops([]).shape == (0, embeddings.shape[1])


def test_bad_input(run: Path, onnx_file: Path, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "bounding_box_train").mkdir()
    (tmp_path / "bounding_box_train" / "0001_c1s1_1_1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no query images to evaluate on"):
        evaluate(onnx_file, f"market1501:{tmp_path}", quiet=True)
    for part in ("query", "bounding_box_test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "0001_c1s1_1_1.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of its query images can be read \(the first: 0001_c1s1_1_1.jpg: not an"):
        evaluate(onnx_file, f"market1501:{tmp_path}", quiet=True)
    with pytest.raises(UserError, match="no such model file"):
        evaluate(tmp_path / "none.onnx", f"market1501:{crops}", quiet=True)
    with pytest.raises(UserError, match="not a training run"):
        evaluate(tmp_path, f"market1501:{crops}", quiet=True)
