import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.server import lasting_clock
from reidapp.server import users as module
from reidapp.server.access_folder import VARIABLE, AccessFolder
from reidapp.server.users import _TABLES, Account, Users, _digest

WORDS = "seven green bottles"


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(AccessFolder(tmp_path / "access"))


def test_the_folder_lies_beside_the_gallery_unless_another_is_named(tmp_path: Path) -> None:
    assert AccessFolder.of(tmp_path / "g", environment={}).path == tmp_path / "g-access"
    assert AccessFolder.of(tmp_path / "g", environment={VARIABLE: str(tmp_path / "e")}).path == tmp_path / "e"
    assert AccessFolder.of(None, tmp_path / "a", {VARIABLE: str(tmp_path / "e")}).path == tmp_path / "a"
    with pytest.raises(UserError, match="--gallery"):
        AccessFolder.of(None, environment={})


def test_nobody_else_reads_what_is_in_it(users: Users) -> None:
    users.add("ann", WORDS)
    users.folder.secret("session.key")
    folder = users.folder.path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert {file.name for file in folder.iterdir()} == {"users.db", "session.key"}
    os.chmod(folder / "session.key", 0o644)
    with pytest.raises(ReidappError, match="others may read"):
        users.folder.secret("session.key")


def test_a_secret_stays_and_a_damaged_one_is_said(users: Users) -> None:
    first = users.folder.secret("audit.key")
    assert len(first) == 32
    assert users.folder.secret("audit.key") == first
    (users.folder.path / "audit.key").write_bytes(b"short")
    with pytest.raises(ReidappError, match="damaged"):
        users.folder.secret("audit.key")


def test_a_password_lets_in_and_is_not_kept(users: Users) -> None:
    users.add("ann", WORDS, role="investigator", cameras=["Gate", "doors"])
    found = users.with_password("ann", WORDS)
    assert found
    assert (found.role, found.cameras) == ("investigator", {"Gate", "doors"})
    assert users.with_password("ann", WORDS + " ") is None
    assert users.with_password("bob", WORDS) is None
    stored = b"".join(file.read_bytes() for file in users.folder.path.iterdir())
    assert WORDS.encode() not in stored
    assert b"$argon2id$" in stored


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "ann is the name", "x" * 1001])
def test_weak_passwords_are_refused(users: Users, password: str) -> None:
    with pytest.raises(UserError, match="password"):
        users.add("ann", password)
    assert users.all() == []


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 101])
def test_odd_names_are_refused(users: Users, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        users.add(name, WORDS)


def test_a_name_is_taken_once(users: Users) -> None:
    users.add("ann", WORDS)
    for add in (lambda: users.add("ann", WORDS), lambda: users.add_key("ann")):
        with pytest.raises(UserError, match="take another"):
            add()


def test_rights_that_make_no_sense_are_refused(users: Users) -> None:
    now = datetime.now(UTC)
    for rights in ({"role": "king"}, {"after": now, "before": now - timedelta(days=1)}):
        with pytest.raises(UserError):
            users.add("ann", WORDS, **rights)  # type: ignore[arg-type]


def test_rights_change_at_once_and_what_is_left_out_stays(users: Users) -> None:
    users.add("ann", WORDS, role="investigator", cameras=["Gate"])
    after = datetime(2026, 3, 2, tzinfo=UTC)
    changed = users.change_rights("ann", after=after)
    assert (changed.role, changed.cameras, changed.after) == ("investigator", {"Gate"}, after)
    assert users.change_rights("ann", cameras=None).cameras is None
    with pytest.raises(UnknownError, match="did you mean"):
        users.change_rights("anne", role="admin")


def test_who_was_removed_gets_in_no_more_and_keeps_a_name(users: Users) -> None:
    ann = users.add("ann", WORDS)
    assert users.in_session("s", ann.id, ann.generation)
    users.remove("user", "ann")
    assert users.all() == []
    assert users.with_password("ann", WORDS) is None
    assert users.in_session("s", ann.id, ann.generation) is None
    assert users.names() == {ann.id: "ann"}
    again = users.add("ann", WORDS + "!")
    assert again.id == ann.id
    assert users.in_session("s", ann.id, ann.generation) is None


def test_what_cannot_be_written_down_is_not_changed(users: Users) -> None:
    def full(what: str, account: Account) -> None:
        raise ReidappError(f"the disk is full: {what} of {account.name}")

    ann, (_, key), noting = users.add("ann", WORDS), users.add_key("recorder"), users.noted(full)
    for change in (
        lambda: noting.add("bob", WORDS),
        lambda: noting.add_key("other"),
        lambda: noting.change_password("ann", WORDS + " more"),
        lambda: noting.change_rights("ann", role="admin"),
        lambda: noting.remove("user", "ann"),
        lambda: noting.remove("key", "recorder"),
    ):
        with pytest.raises(ReidappError, match="disk is full"):
            change()
    assert users.all() == [ann]
    assert users.with_password("ann", WORDS) == ann
    assert users.with_key(key)
    assert [each.name for each in users.all("key")] == ["recorder"]


def test_a_name_that_two_take_at_once_is_the_first_ones(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    users.add("ann", WORDS)
    monkeypatch.setattr(users, "all", lambda kind="user": [])  # as the second saw it before
    with pytest.raises(UserError, match="take another"):
        users.add("ann", WORDS + " of another")
    assert users.with_password("ann", WORDS)


def test_a_better_hash_does_not_bring_an_old_password_back(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    users.add("ann", WORDS)
    monkeypatch.setattr(module, "_hasher", PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    users.with_password("nobody", WORDS)
    hashed = module._hashed

    def meanwhile(password: str) -> str:
        monkeypatch.setattr(module, "_hashed", hashed)
        users.change_password("ann", WORDS + " more")
        return hashed(password)

    monkeypatch.setattr(module, "_hashed", meanwhile)
    assert users.with_password("ann", WORDS)
    assert users.with_password("ann", WORDS) is None
    assert users.with_password("ann", WORDS + " more")


def test_a_key_holds_until_it_expires_or_is_revoked(users: Users) -> None:
    account, key = users.add_key("recorder", 30, role="viewer", cameras=["Hall"])
    assert users.with_key(key) == account
    assert account.expires
    assert timedelta(days=29) < account.expires - datetime.now(UTC) <= timedelta(days=30)
    for wrong in ("", "reidapp", key[:-1], key + "x", key.replace("reidapp", "other"), f"reidapp_{account.id}_"):
        assert users.with_key(wrong) is None
    assert key.rpartition("_")[2].encode() not in (users.folder.path / "users.db").read_bytes()
    assert _digest(key.removeprefix(f"reidapp_{account.id}_")).encode() in (users.folder.path / "users.db").read_bytes()
    users.remove("key", "recorder")
    assert users.with_key(key) is None
    _, late = users.add_key("late", -1)
    assert users.with_key(late) is None


def test_a_key_that_has_expired_stays_so_when_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = Clock()
    users = Users(AccessFolder(tmp_path / "access"), clock=clock)
    _, key = users.add_key("recorder", 30)
    assert users.with_key(key)
    clock.now += 31 * 86_400
    assert users.with_key(key) is None
    clock.now -= 31 * 86_400
    assert users.with_key(key) is None
    assert Users(users.folder, clock=clock).with_key(key) is None  # the next process
    _, new = users.add_key("new", 30)
    assert users.with_key(new)


def test_time_goes_on_after_the_clock_was_set_back(tmp_path: Path) -> None:
    """Else nothing would expire until the clock has caught up."""
    folder, clock, passing = AccessFolder(tmp_path / "access"), Clock(), Clock()

    def rows() -> AbstractContextManager[sqlite3.Connection]:
        return folder.rows("users.db", lasting_clock.TABLE)

    lasting = lasting_clock.LastingClock(rows, clock, passing)
    first = lasting.now()
    clock.now -= 1e6
    passing.now += 500
    assert lasting.now() == first + 500
    other = lasting_clock.LastingClock(rows, clock, passing)
    assert other.now() == first + 500
    clock.now = first + 1000  # it is right again
    assert lasting.now() == other.now() == first + 1000


def test_accounts_of_the_system_have_one_id_and_no_way_in(users: Users) -> None:
    first, again = users.of_system("root"), users.of_system("root")
    assert first == again
    assert first.role == "admin"
    assert first.id
    assert users.all() == []
    assert users.with_password("root", "") is None
    users.add("root", WORDS)  # another one


@pytest.mark.parametrize("version", [1, 2])
def test_users_of_an_older_version_get_in(tmp_path: Path, version: int) -> None:
    folder = AccessFolder(tmp_path / "access")
    Users(folder).add("ann", WORDS)
    with closing(sqlite3.connect(folder.path / "users.db")) as rows:  # as that version made it
        rows.execute("DROP TABLE latest_time")
        if version == 1:
            rows.execute("ALTER TABLE account DROP COLUMN heads")
        rows.execute(f"PRAGMA user_version = {version}")
        rows.commit()
    users = Users(folder)
    assert users.with_password("ann", WORDS) is not None
    assert users.now() > 0
    assert not users.named("user", "ann").asker.sees_heads


def test_a_file_that_cannot_be_written_later_keeps_nobody_out() -> None:
    clock, failing = Clock(), []

    @contextmanager
    def rows() -> Iterator[sqlite3.Connection]:
        if failing:
            raise ReidappError("users.db: disk full")
        yield kept

    with closing(sqlite3.connect(":memory:")) as kept:
        kept.row_factory = sqlite3.Row
        kept.execute(lasting_clock.TABLE)
        failing.append(True)
        lasting = lasting_clock.LastingClock(rows, clock)
        with pytest.raises(ReidappError, match="disk full"):  # an expired key might count again
            lasting.now()
        failing.clear()
        first = lasting.now()
        failing.append(True)
        clock.now += 1000
        assert lasting.now() >= clock.now > first


def test_a_newer_version_is_not_touched(users: Users) -> None:
    users.add("ann", WORDS)
    with closing(sqlite3.connect(users.folder.path / "users.db")) as rows:
        rows.execute("PRAGMA user_version = 99")
    with pytest.raises(ReidappError, match="newer version"):
        users.all()


def test_how_heads_are_seen_is_as_the_role_has_it_or_as_it_is_said(users: Users) -> None:
    assert not users.add("ann", WORDS).asker.sees_heads
    assert users.change_rights("ann", role="investigator").asker.sees_heads
    assert not users.change_rights("ann", heads="blurred").asker.sees_heads
    assert not users.change_rights("ann", role="admin").asker.sees_heads  # what is left out stays
    assert users.change_rights("ann", role="viewer", heads="shown").asker.sees_heads
    assert not users.change_rights("ann", heads=None).asker.sees_heads
    assert users.add_key("program", heads="shown")[0].asker.sees_heads
    with pytest.raises(UserError, match=r"shown or blurred"):
        users.change_rights("ann", heads="none")  # type: ignore[arg-type]


def test_users_of_before_there_was_a_right_to_heads_stay(users: Users) -> None:
    with users.folder.rows("users.db", _TABLES) as rows:
        rows.execute(
            "INSERT INTO account (id, kind, name, at, role, secret, generation) "
            "VALUES ('1', 'user', 'ann', '2026-03-02T00:00:00+00:00', 'viewer', 'x', 0)"
        )
    assert [account.name for account in users.all()] == ["ann"]
    assert not users.named("user", "ann").asker.sees_heads
    assert users.change_rights("ann", heads="shown").asker.sees_heads
