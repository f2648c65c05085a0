"""The pictures of generated people: ``python docs/make_people.py`` writes people.jpg and cameras.jpg beside itself.

people.jpg: 64 people of the seed that the shipped models are trained on, one crop each. cameras.jpg: a frame of every
camera of a recording of 12 people, each when most people are in full view.
"""

import argparse
from io import BytesIO
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.synthetic import render_people
from training.data.synthetic.plan import plan_visits
from training.data.synthetic.seeds import FOOTAGE_PLAN, stream
from training.data.synthetic.studio import Studio, footage_appearances, footage_view

SEED = 1
COLUMNS = 16
FRAME = (640, 360)
CAMERAS, PEOPLE, SECONDS = 6, 12, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder")
    out = parser.parse_args().out
    for name, picture in (("people", people()), ("cameras", cameras())):
        cv2.imwrite(str(out / f"{name}.jpg"), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def people() -> NDArray[np.uint8]:
    """64 people in rows."""
    crops = islice(render_people(identities=64, cameras=24, images_per_identity=2, seed=SEED), 0, None, 2)
    return _rows([np.asarray(Image.open(BytesIO(crop.jpeg)), np.uint8) for crop in crops], COLUMNS)


def cameras() -> NDArray[np.uint8]:
    """The fullest frame of every camera."""
    views = [footage_view(SEED, camera, FRAME) for camera in range(CAMERAS)]
    visits = plan_visits(stream(SEED, FOOTAGE_PLAN), views=views, people=PEOPLE, seconds=SECONDS)
    who = footage_appearances(SEED, PEOPLE)
    frames = []
    for camera in range(CAMERAS):
        studio = Studio(SEED, camera, who, visits[camera], FRAME)
        shots = [studio.frame(float(t)) for t in np.arange(1, SECONDS, 3)]
        frames.append(max(shots, key=lambda shot: sum(p.visible > 0.9 for p in shot[1]))[0])
    return _rows(frames, 2)


def _rows(pictures: list[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    return np.vstack([np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)])


if __name__ == "__main__":
    main()
