from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Annotation
from PIL import Image

from reidapp.errors import UserError
from reidapp.metrics import People, RetrievalScores
from tests.training.conftest import write_crops
from training.data.datasets import Record
from training.evaluation import evaluate
from training.figures import NAMES, Shown, draw_cmc, draw_ranked, energy, evenly, make_folder


@pytest.fixture(scope="module")
def people(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough of them for a threshold."""
    folder = tmp_path_factory.mktemp("people")
    write_crops(folder / "query", range(21, 41), cameras=2, images=1)
    write_crops(folder / "bounding_box_test", range(21, 41), cameras=2, images=2, seed=1)
    return folder


@pytest.mark.slow
def test_all_of_a_run_and_the_same_twice(run: Path, people: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        evaluate(run, f"market1501:{people}", figures=tmp_path / folder / "deep", rerank=True, quiet=True)
    for name in NAMES:
        first, second = (Image.open(tmp_path / folder / "deep" / name) for folder in ("a", "b"))
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
        assert np.asarray(first.convert("L"))[:3, :3].min() == 255  # a light page
        assert np.asarray(first.convert("L")).std() > 5  # with something on it


@pytest.mark.slow
def test_what_is_missing_is_said_and_nothing_old_left(
    run: Path, onnx_file: Path, crops: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(run, f"market1501:{people}", figures=tmp_path, quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
    (tmp_path / "notes.txt").write_text("mine")
    capsys.readouterr()
    evaluate(onnx_file, f"market1501:{crops}", figures=tmp_path, quiet=True)
    said = " ".join(capsys.readouterr().err.split())
    assert "activation.png not drawn: an exported model gives no feature map" in said
    assert "roc.png not drawn: it needs a genuine pair and a thousand impostor pairs" in said
    assert {path.name for path in tmp_path.iterdir()} == {"cmc.png", "ranked.png", "notes.txt"}


def test_a_file_is_no_folder_for_figures(run: Path, crops: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file; name a folder"):
        evaluate(run, f"market1501:{crops}", figures=tmp_path / "file", quiet=True)


def test_queries_are_spread_over_average_precision_and_the_unscored_left_out() -> None:
    precisions = (0.2, None, 1.0, 0.5, 0.9, None, 0.1)
    assert evenly(precisions, 3) == [2, 3, 6]
    assert evenly(precisions, 1) == [2]
    assert evenly(precisions, 8) == [2, 4, 3, 0, 6]


def test_shown_are_those_that_were_scored() -> None:
    """The query's own camera is left out, and of equals the wrong one stands first."""
    query = [Record(Path("q"), pid=1, camid=0)]
    gallery = [Record(Path(name), pid, camid) for name, pid, camid in (("own", 1, 0), ("a", 1, 1), ("b", 2, 0))]
    people = People(*(np.array(x) for x in ([1], [0], [1, 1, 2], [0, 1, 0])), same_camera="remove")
    distances = np.array([[-0.9, -0.5, -0.5]])
    shown = Shown(query, gallery, people, distances.__getitem__, "cosine")
    assert [(record.path.name, score, right) for record, score, right in shown.first(0)] == [
        ("b", 0.5, False),
        ("a", 0.5, True),
    ]
    kept = People(*(np.array(x) for x in ([1], [0], [1, 1, 2], [0, 1, 0])), same_camera="keep")
    distance = Shown(query, gallery, kept, distances.__getitem__, "distance")
    assert [(record.path.name, score) for record, score, _ in distance.first(0)] == [
        ("own", -0.9),
        ("b", -0.5),
        ("a", -0.5),
    ]


def test_labels_tell_near_scores_apart_and_stay_off_the_axis(people: Path) -> None:
    records = [Record(path, pid=k, camid=k) for k, path in enumerate(sorted((people / "query").iterdir())[:3])]
    sides = ([1], [0], [1, 2, 1], [1, 2, 3])
    distances = np.array([[-0.99912, -0.99934, -0.9987]])
    shown = Shown(records[:1], records, People(*map(np.array, sides), "keep"), distances.__getitem__, "cosine")
    scores = RetrievalScores((0.05,) * 20, 0.1, 0.1, queries=1, gallery=3, protocol="p", average_precisions=(0.1,))
    written = {text.get_text() for text in draw_ranked(shown, [0], scores).axes[0].texts}
    assert {"✗ 0.9993", "✓ 0.9991", "✓ 0.9987"} <= written
    (axes,) = draw_cmc(scores, "model").axes
    assert all(label.get_position()[1] > 0 for label in axes.texts if isinstance(label, Annotation))
    assert "1 query, 3 gallery images" in axes.texts[-1].get_text()


def test_energy_is_that_of_the_feature_map(run: Path) -> None:
    import torch

    from models.run_folder import load_network

    crops = [np.random.default_rng(k).integers(0, 256, (32, 16, 3), dtype=np.uint8) for k in range(2)]
    found = energy(run, crops)
    assert [map_.shape for map_ in found] == [(192, 96)] * 2
    assert all(map_.min() == 0 and map_.max() == 1 for map_ in found)
    network = load_network(run)
    with torch.inference_mode():
        features = network.backbone(network.normalise(torch.from_numpy(np.stack(crops))))
    squares = (features**2).sum(dim=1).numpy()
    for map_, square in zip(found, squares, strict=True):
        row, column = np.unravel_index(square.argmax(), square.shape)
        height, width = 192 // square.shape[0], 96 // square.shape[1]
        patch = map_[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert patch.max() == 1


def test_a_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^--figures .*figures: cannot be written to \(.+\); name another folder$"):
        make_folder(tmp_path / "file" / "figures")
