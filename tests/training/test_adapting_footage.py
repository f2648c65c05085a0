"""The shipped model adapts to generated footage, held against the truth."""

from pathlib import Path

import pytest

from models.zoo import DEFAULT, path_of
from reidapp.bench import retrieval
from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.gallery.reembedding import model_called, reembed
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings
from training.adapting import adapt
from training.data.synthetic.footage import write_footage
from training.data.synthetic.seeds import bench_seed


@pytest.mark.slow
def test_generated_footage_and_the_shipped_model(tmp_path: Path) -> None:
    """Index → adapt → re-embed → search → back again, held against the truth."""
    footage = tmp_path / "footage"
    # Crowded: elsewhere the shipped model leaves nothing to gain.
    write_footage(footage, cameras=4, people=20, seconds=40, crowd=2, fps=4, seed=bench_seed(20), workers=1)
    embedder, settings = Embedder(path_of(DEFAULT)), IndexSettings(zone="UTC")
    gallery = Gallery.create(tmp_path / "gallery", embedder.path, embedder.card, embedder.identity)
    index_footage(find_footage(footage, settings), gallery, embedder, open_detector("hog"), settings)
    before = retrieval(gallery, footage)
    result = adapt(gallery, tmp_path / "run", changes=["schedule.images=400"], quiet=True)
    assert result.improved

    reembed(gallery, Embedder(result.model), result.model)
    after = retrieval(gallery, footage)
    assert (after.mAP or 0) > (before.mAP or 1)

    old = model_called(gallery, f"{embedder.card.name}/{embedder.card.version}")
    assert old is not None
    assert reembed(gallery, Embedder(old.file), old.file).embedded == 0
    assert retrieval(gallery, footage) == before
