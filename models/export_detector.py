"""torchvision's person detectors as ONNX files, resizing and suppression of overlaps included."""

import contextlib
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model_builder, get_model_weights, get_weight
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.ssd import SSD

from reidapp.embedding import open_session
from reidapp.errors import ReidappError, UserError

PERSON = 1  # of COCO's labels as torchvision counts them; 0 is the background
OPSET = 17
MAX_SCORE_DIFFERENCE = 0.01
SIZES = ((240, 320), (320, 240), (97, 131))  # on which the file and the network are compared


def export_detector(weights: str, out: Path, timeout_s: float = 30.0) -> None:
    """Fetch weights by torchvision's own download, which checks their hash, and write the detector that they are of.

    Args:
        weights: torchvision's name, for example ``SSDLite320_MobileNet_V3_Large_Weights.COCO_V1``.
        out: the ONNX file. Input ``images`` uint8 [1, H, W, 3] RGB, H and W free; outputs ``boxes`` float32 [K, 4]
            (x1 y1 x2 y2 in pixels), ``scores`` float32 [K], ``labels`` int64 [K], all 1: only people.
        timeout_s: how long the server may be silent.

    Raises:
        UserError: the weights could not be fetched.
        ReidappError: the file finds other people than the network.
    """
    chosen = get_weight(weights)
    try:
        with _patience(timeout_s):
            state = chosen.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network, an HTTP error, a full disk; a wrong checksum
        raise UserError(f"{chosen.url}: not fetched ({' '.join(str(error).split())}); nothing kept") from error
    network = build(weights)
    network.load_state_dict(state)
    write_onnx(network, out)


@contextlib.contextmanager
def _patience(timeout_s: float) -> Iterator[None]:
    """How long a connection may be silent; torchvision's download has no option for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout_s)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def build(weights: str) -> SSD | FasterRCNN:
    """The network that weights are of, without them."""
    chosen = get_weight(weights)
    for name in torchvision.models.list_models(torchvision.models.detection):
        if get_model_weights(name) is type(chosen):
            builder = get_model_builder(name)
            network: SSD | FasterRCNN = builder(
                weights=None, weights_backbone=None, num_classes=len(chosen.meta["categories"])
            )
            return network.eval()
    raise ReidappError(f"{weights}: torchvision names no network for these weights")


def write_onnx(network: SSD | FasterRCNN, out: Path) -> None:
    """Write a detector as ONNX; of its classes, only people stay.

    Raises:
        ReidappError: the file finds other people than the network.
    """
    people = _People(network).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer's, on every shape that it takes for a constant
        torch.onnx.export(
            people,
            (_smooth(*SIZES[0]),),
            str(out),
            input_names=["images"],
            output_names=["boxes", "scores", "labels"],
            dynamic_axes={"images": {1: "H", 2: "W"}, "boxes": {0: "K"}, "scores": {0: "K"}, "labels": {0: "K"}},
            opset_version=OPSET,
            # torch.export cannot follow torchvision's detectors; they carry code of their own for the tracer.
            dynamo=False,
        )
    try:
        _check_parity(people, out)
    except ReidappError:
        out.unlink()
        raise


class _People(nn.Module):
    """A detector for one class, with the same boxes and scores for people as the one it is made of.

    It is several times faster: suppression runs once, not for every class.
    """

    def __init__(self, network: SSD | FasterRCNN) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, SSD):
            network.head.classification_head = _OnlyPerson(network.head.classification_head)
        else:
            network.roi_heads.box_predictor = _OnlyPersonAndBox(network.roi_heads.box_predictor)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = self.network(list(images.permute(0, 3, 1, 2).float() / 255))
        return found["boxes"], found["scores"], found["labels"]


class _OnlyPerson(nn.Module):
    """Class logits [..., C] → [..., 2] with softmax_1 = the person's share before: [log Σ_{c≠1} exp x_c, x_1]."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *features: Any) -> Tensor:
        return _person_or_not(self.head(*features))


class _OnlyPersonAndBox(nn.Module):
    """The same for Faster R-CNN, whose boxes are per class too: [N, 4 C] → [N, 8]."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        logits, boxes = self.head(features)
        return _person_or_not(logits), boxes[:, : 4 * (PERSON + 1)]


def _person_or_not(logits: Tensor) -> Tensor:
    others = torch.cat([logits[..., :PERSON], logits[..., PERSON + 1 :]], -1).logsumexp(-1)
    return torch.stack([others, logits[..., PERSON]], -1)


def _check_parity(people: _People, out: Path) -> None:
    session = open_session(out, provider="cpu")
    for size in SIZES:
        images = _smooth(*size)
        with torch.inference_mode():
            boxes, scores, _ = people(images)
        got_boxes, got_scores, _ = map(torch.from_numpy, session.run(None, {"images": images.numpy()}))
        if not (_has(got_boxes, got_scores, boxes, scores) and _has(boxes, scores, got_boxes, got_scores)):
            raise ReidappError(
                f"{out.name}: not exported: ONNX Runtime and torch find different people in a picture of "
                f"{size[1]}×{size[0]}"
            )


def _has(boxes: Tensor, scores: Tensor, wanted_boxes: Tensor, wanted_scores: Tensor) -> bool:
    """Whether eight of the surest ten detections are among others, overlapping by half: of two with nearly equal scores
    either may have suppressed the other."""
    best = wanted_scores.argsort(descending=True)[:10]
    if not len(best) or not len(scores):
        return len(best) == len(scores)
    near = (torchvision.ops.box_iou(wanted_boxes[best], boxes) > 0.5) & (
        (wanted_scores[best, None] - scores).abs() < MAX_SCORE_DIFFERENCE
    )
    return bool(near.any(1).float().mean() >= 0.8)


def _smooth(height: int, width: int) -> Tensor:
    """Blobs of colour, enlarged: they look more like pictures than noise does."""
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (1, 3, 6, 8), generator=generator, dtype=torch.uint8)
    large = nn.functional.interpolate(small.float(), (height, width), mode="bilinear").round()
    return large.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
