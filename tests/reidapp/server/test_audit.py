"""The log finds a row that was changed, put in, taken out or cut off, by whoever has the table but not the key."""

import sqlite3
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.server.access_folder import AccessFolder
from reidapp.server.audit import Audit

PURPOSE = "lost child, case 12"


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    audit = Audit(AccessFolder(tmp_path / "access"))
    for number in range(6):
        audit.add("search", f"{number:016x}", "cams", search=f"s{number}", purpose=PURPOSE, name="Ann")
    return audit


def rewritten(audit: Audit, *statements: str) -> None:
    """As somebody with the file would do it, past the triggers."""
    with sqlite3.connect(audit.folder.path / "audit.db") as rows:
        rows.execute("DROP TRIGGER entry_stays")
        rows.execute("DROP TRIGGER entry_remains")
        for statement in statements:
            rows.execute(statement)
    rows.close()


def test_a_whole_log_is_whole(audit: Audit) -> None:
    found = audit.verify()
    assert (found.rows, found.broken) == (6, None)
    assert found.head == audit.head()
    assert audit.verify(found.head).broken is None
    assert [entry.n for entry in audit.last(2)] == [6, 5]
    assert [entry.n for entry in audit.last(2, before=5)] == [4, 3]


CHANGES: dict[str, tuple[str, ...]] = {
    "who": ("UPDATE entry SET by = 'ffffffffffffffff' WHERE n = 3",),
    "when": ("UPDATE entry SET at = '2020-01-01T00:00:00.000Z' WHERE n = 3",),
    "what": ("UPDATE entry SET action = 'view' WHERE n = 3",),
    "about": ("UPDATE entry SET about = replace(about, 's5', 's4') WHERE n = 6",),
    "mac": ("UPDATE entry SET mac = 'ff' || substr(mac, 3) WHERE n = 3",),
    "put in": (
        "UPDATE entry SET n = n + 100 WHERE n > 3",
        "INSERT INTO entry SELECT 4, at, by, action, gallery, about, mac FROM entry WHERE n = 3",
        "UPDATE entry SET n = n - 99 WHERE n > 100",
    ),
    "put in at the end": ("INSERT INTO entry SELECT 7, at, by, action, gallery, about, mac FROM entry WHERE n = 6",),
    "taken out": ("DELETE FROM entry WHERE n = 3",),
    "taken out, numbers closed": ("DELETE FROM entry WHERE n = 3", "UPDATE entry SET n = n - 1 WHERE n > 3"),
    "first": ("DELETE FROM entry WHERE n = 1", "UPDATE entry SET n = n - 1"),
    "swapped": (
        "UPDATE entry SET n = 100 WHERE n = 3",
        "UPDATE entry SET n = 3 WHERE n = 4",
        "UPDATE entry SET n = 4 WHERE n = 100",
    ),
    "cut off": ("DELETE FROM entry WHERE n > 4",),
    "all": ("DELETE FROM entry",),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_done_to_the_table_is_found(audit: Audit, change: tuple[str, ...]) -> None:
    head = audit.head()
    rewritten(audit, *change)
    assert audit.verify().broken
    assert audit.verify(head).broken


def test_a_head_that_was_kept_elsewhere_finds_what_the_kept_one_cannot(audit: Audit) -> None:
    head = audit.head()
    rewritten(audit, "DELETE FROM entry WHERE n > 4")
    (audit.folder.path / "audit.head").unlink()
    assert audit.verify().broken is None
    assert "cut off" in str(audit.verify(head).broken)
    with pytest.raises(UserError, match="--head"):
        audit.verify("nonsense")


def test_a_log_that_was_made_anew_is_not_the_one_of_the_head(audit: Audit) -> None:
    head = audit.head()
    (audit.folder.path / "audit.db").unlink()
    other = Audit(audit.folder)
    for _ in range(8):
        other.add("view")
    assert "another one" in str(other.verify(head).broken)


def test_rows_are_not_changed_by_mistake(audit: Audit) -> None:
    for statement in ("UPDATE entry SET by = ''", "DELETE FROM entry"):
        with pytest.raises(ReidappError, match="entries are not"), audit._rows() as rows:
            rows.execute(statement)
    assert audit.verify().broken is None


def test_it_has_ids_and_no_words(audit: Audit) -> None:
    stored = (audit.folder.path / "audit.db").read_bytes()
    assert PURPOSE.encode() not in stored
    assert b"Ann" not in stored
    assert b"cams" not in stored
    entry = audit.last(1)[0]
    assert entry.about["purpose"] == PURPOSE
    assert entry.about["name"] == audit.opaque("Ann")
    assert entry.gallery == audit.opaque("cams")


def test_a_purpose_that_names_somebody_is_erased_and_the_chain_holds(audit: Audit) -> None:
    audit.add("search", "me", "cams", purpose="where is Anna-Lena?")
    audit.add("search", "me", "cams", purpose="ANNA LENA, again")
    audit.add("search", "me", "cams", purpose="Annalena")
    assert audit.forget(["Anna-Lena", "Anna Lena"]) == 2
    assert [entry.about["purpose"] for entry in audit.last(4)] == ["Annalena", "(erased)", "(erased)", PURPOSE]
    assert audit.verify().broken is None
    stored = b"".join(file.read_bytes() for file in audit.folder.path.iterdir())
    assert b"Anna-Lena" not in stored
    assert b"ANNA LENA" not in stored
    assert PURPOSE.encode() in stored
    assert audit.forget([]) == 0


def test_a_purpose_that_was_rewritten_is_found(audit: Audit) -> None:
    with sqlite3.connect(audit.folder.path / "texts.db") as rows:
        rows.execute("UPDATE text SET text = 'found child, case 12' WHERE rowid = 2")
    rows.close()
    assert audit.verify().broken == "texts that are not as they were written: 1"


@pytest.mark.parametrize(("file", "statement"), [
    ("audit.db", "UPDATE entry SET about = CAST(x'ff' AS TEXT) WHERE n = 3"),
    ("texts.db", "UPDATE text SET text = CAST(x'ff' AS TEXT) WHERE rowid = 2"),
])  # fmt: skip
def test_a_text_that_is_none_is_one_line(audit: Audit, file: str, statement: str) -> None:
    with sqlite3.connect(audit.folder.path / file) as rows:
        for trigger in ("entry_stays", "entry_remains"):
            rows.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        rows.execute(statement)
    rows.close()
    with pytest.raises(ReidappError, match=rf"{file}: Could not decode to UTF-8 [^\n]*$"):
        audit.verify()


def test_rows_of_before_have_their_purpose_themselves(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_keep_text", lambda text: text)
    audit.add("search", "me", "cams", purpose="case 11")
    assert [entry.about["purpose"] for entry in audit.last(2)] == ["case 11", PURPOSE]
    assert audit.verify().broken is None


def test_several_writers_make_one_chain(audit: Audit) -> None:
    others = [Audit(audit.folder) for _ in range(3)]

    def write(log: Audit) -> None:
        for _ in range(5):
            log.add("view", video="0123456789abcdef")

    threads = [threading.Thread(target=write, args=(log,)) for log in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = audit.verify()
    assert (found.rows, found.broken) == (21, None)


def test_a_slow_writer_puts_no_older_head_over_a_newer_one(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = audit._keep_head

    def late(*given: str) -> None:
        Audit(audit.folder).add("view")  # another process, in between
        keep(*given)

    monkeypatch.setattr(audit, "_keep_head", late)
    audit.add("search")
    rewritten(audit, "DELETE FROM entry WHERE n > 7")
    assert "cut off" in str(audit.verify().broken)


def test_a_view_that_could_not_be_written_down_is_written_the_next_time(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(audit, "add", Mock(side_effect=ReidappError("the disk is full")))
        for _ in range(2):
            with pytest.raises(ReidappError, match="full"):
                audit.add_once("view", "me", "cams", video="a")
    audit.add_once("view", "me", "cams", video="a")
    assert audit.last(1)[0].about == {"video": "a"}


def test_the_same_view_is_written_once_in_a_while(audit: Audit) -> None:
    for video in ("a", "a", "b", "a"):
        audit.add_once("view", "me", "cams", video=video)
    audit.add_once("view", "other", "cams", video="a")
    assert [(e.by, e.about["video"]) for e in audit.last(3)] == [("other", "a"), ("me", "b"), ("me", "a")]


def test_without_its_key_it_is_not_gone_on_with(audit: Audit) -> None:
    (audit.folder.path / "audit.key").unlink()
    with pytest.raises(ReidappError, match="missing"):
        Audit(audit.folder)


def test_what_cannot_be_written_down_fails(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(ReidappError, match="disk is full"):
        audit.add("search")
