"""The rows of a gallery, its source of truth; `migrations/` holds every change of this schema.

Times of day are not stored per row: a tracklet has seconds of presentation time in its video, and the video has its
start. A wrong clock is thus corrected in one place, from the start as it was written. Identifiers derive from content
(see `identifier`), so indexing the same footage again gives the same rows.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def identifier(*parts: object) -> str:
    """16 hex digits that stand for ``parts``, always the same for the same parts."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]


def now(timespec: str = "seconds") -> str:
    """ISO 8601 UTC, as ``at`` has it."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


class Base(DeclarativeBase):
    """What the tables have in common: lists and dicts are JSON."""

    type_annotation_map: ClassVar = {
        dict[str, Any]: JSON,
        list[list[float]]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Setting(Base):
    """One value that belongs to the gallery as a whole, such as the active model and the generation."""

    __tablename__ = "setting"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class Model(Base):
    """An embedding model that this gallery has vectors of; its file in ``models/`` bears the id's first 16 digits."""

    __tablename__ = "model"

    id: Mapped[str] = mapped_column(primary_key=True)  # sha256 of weights and preprocessing
    card: Mapped[dict[str, Any]]


class Camera(Base):
    """A camera and its clock."""

    __tablename__ = "camera"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    zone: Mapped[str]  # IANA name
    offset_s: Mapped[float] = mapped_column(default=0.0)  # by which its clock is ahead
    group: Mapped[str | None]


class CameraAlias(Base):
    """Another name of a camera: one it had before, or that of a camera which was merged into it."""

    __tablename__ = "camera_alias"

    name: Mapped[str] = mapped_column(primary_key=True)
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"), index=True)


class Video(Base):
    """A recording: a video, or a picture, which has one chunk."""

    __tablename__ = "video"

    id: Mapped[str] = mapped_column(primary_key=True)  # from the content: see files.fingerprint
    camera_id: Mapped[int] = mapped_column(ForeignKey("camera.id"), index=True)
    path: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    written: Mapped[str]  # the start as it was found, ISO 8601; without a zone of its own it is on the camera's clock
    start_ms: Mapped[int] = mapped_column(
        BigInteger
    )  # UTC, from `written` and the camera's clock: see cameras.start_ms
    start_source: Mapped[str]  # template, name, container or mtime
    duration_s: Mapped[float]
    width: Mapped[int]
    height: Mapped[int]
    settings: Mapped[dict[str, Any]]  # of the run that indexed it
    done: Mapped[bool]
    note: Mapped[str | None]  # what was wrong with the file, if anything


class Chunk(Base):
    """The unit of commit: a chunk's rows and vectors become visible together or not at all."""

    __tablename__ = "chunk"
    __table_args__ = (UniqueConstraint("video_id", "number"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("video.id"))
    number: Mapped[int]
    frames: Mapped[int]
    detections: Mapped[int]
    last_s: Mapped[float | None]  # presentation time of the last frame decoded in it


class Tracklet(Base):
    """One person in one chunk; the piece of the chunk before that it continues, if it does (`pieces`)."""

    __tablename__ = "tracklet"

    id: Mapped[str] = mapped_column(primary_key=True)
    chunk_id: Mapped[str] = mapped_column(ForeignKey("chunk.id"), index=True)
    start_s: Mapped[float]
    end_s: Mapped[float]
    path: Mapped[list[list[float]]]  # [time_s, x1, y1, x2, y2] per detection
    continues: Mapped[str | None] = mapped_column(ForeignKey("tracklet.id"), index=True)


class Crop(Base):
    """A best shot of a tracklet."""

    __tablename__ = "crop"
    __table_args__ = (UniqueConstraint("chunk_id", "position"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tracklet_id: Mapped[str] = mapped_column(ForeignKey("tracklet.id"), index=True)
    chunk_id: Mapped[str] = mapped_column(ForeignKey("chunk.id"))
    position: Mapped[int]  # within the chunk; the vector's row is the block's first row plus this
    time_s: Mapped[float]
    x1: Mapped[float]
    y1: Mapped[float]
    x2: Mapped[float]
    y2: Mapped[float]
    quality: Mapped[float]  # 0..1
    digest: Mapped[str | None]  # of its file, see writer.digest; None where it is older than digests


class Block(Base):
    """The vectors of one chunk under one model: rows ``first_row .. first_row + rows`` of that model's day shard."""

    __tablename__ = "block"
    __table_args__ = (Index("ix_block_shard", "model_id", "day", "first_row"),)

    chunk_id: Mapped[str] = mapped_column(ForeignKey("chunk.id"), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[str]  # the shard: UTC day of the chunk's start, YYYY-MM-DD, and ".N" behind it once it was rewritten
    first_row: Mapped[int]
    rows: Mapped[int]
    sha256: Mapped[str]


class Identity(Base):
    """A person whom a user has named."""

    __tablename__ = "identity"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    by: Mapped[str]
    at: Mapped[str]  # ISO 8601 UTC


class Member(Base):
    """What a user said of a tracklet: it shows an identity, or it does not.

    A tracklet is named by its first piece. No foreign key: ids derive from content, so a tracklet that is indexed again
    is still the one which the user meant.
    """

    __tablename__ = "member"
    __table_args__ = (
        Index(
            "ix_member_yes",
            "tracklet_id",
            unique=True,
            sqlite_where=text("verdict = 'yes'"),
            postgresql_where=text("verdict = 'yes'"),
        ),
    )

    identity_id: Mapped[str] = mapped_column(ForeignKey("identity.id"), primary_key=True)
    tracklet_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    verdict: Mapped[str]  # yes or no
    by: Mapped[str]
    at: Mapped[str]


class IdentityAction(Base):
    """One line of the log of identities, which only grows: what was done, and every row as it was before and after."""

    __tablename__ = "identity_action"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str]
    by: Mapped[str]
    kind: Mapped[str]  # new, add, remove, rename, merge, unmerge, delete; undo, redo
    told: Mapped[str]  # in words
    of: Mapped[int | None] = mapped_column(ForeignKey("identity_action.id"))  # that it undoes, redoes or unmerges
    changes: Mapped[list[dict[str, Any]]]  # {table, before, after}, a row each: see `identities`


class SavedSearch(Base):
    """A search to be run again: whom it asks for, and its filters. Its pictures are in ``queries/<id>/``."""

    __tablename__ = "saved_search"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    by: Mapped[str]
    at: Mapped[str]
    pictures: Mapped[int]  # 0.webp, 1.webp, …: crops, not embeddings, so that another model can embed them
    tracklets: Mapped[list[str]]
    identity: Mapped[str | None] = mapped_column(ForeignKey("identity.id"))
    filters: Mapped[dict[str, Any]]  # cameras, after, before, combine


class Answer(Base):
    """What a user said of a hit of a saved search."""

    __tablename__ = "answer"

    search_id: Mapped[str] = mapped_column(ForeignKey("saved_search.id"), primary_key=True)
    tracklet_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    verdict: Mapped[str]  # yes or no
    by: Mapped[str]
    at: Mapped[str]


class CaseFile(Base):
    """Hits that are kept together."""

    __tablename__ = "case_file"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    note: Mapped[str]
    by: Mapped[str]
    at: Mapped[str]  # ISO 8601 UTC
    closed: Mapped[str | None]  # since then; None: it is open


class CaseHit(Base):
    """A tracklet in a case, named by its first piece, without a foreign key: see `Member`."""

    __tablename__ = "case_hit"

    case_id: Mapped[str] = mapped_column(ForeignKey("case_file.id"), primary_key=True)
    tracklet_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    crop_id: Mapped[str | None]  # the best shot for the search that found it
    verdict: Mapped[str | None]  # yes, no or unsure; None: open
    note: Mapped[str]
    score: Mapped[float | None]  # of that search, as p_match
    p_match: Mapped[float | None]
    by: Mapped[str]
    at: Mapped[str]


class Deleted(Base):
    """A recording that was deleted, so that it does not come back by itself. Neither its name nor its place is kept."""

    __tablename__ = "deleted"

    video_id: Mapped[str] = mapped_column(primary_key=True)  # the content's fingerprint
    file: Mapped[str] = mapped_column(index=True)  # identifier(path, size, mtime_ns)
    at: Mapped[str]


class Erasure(Base):
    """What stays of people who were erased: that they were. Nothing of them, and no id that anything else has."""

    __tablename__ = "erasure"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[str]  # ISO 8601 UTC
    by: Mapped[str]  # the account's id in the log
    kind: Mapped[str]  # identity, tracklets or footage
    counts: Mapped[dict[str, Any]]
    gone: Mapped[list[str]]  # identifier("erased", id) of what went, by which it is known again in a back-up
    ended: Mapped[str | None]  # since then nothing is left; None: it was broken off


class Leftover(Base):
    """A file or folder that no row names any more; it is removed once the transaction that wrote this is over."""

    __tablename__ = "leftover"

    path: Mapped[str] = mapped_column(primary_key=True)  # below the gallery
