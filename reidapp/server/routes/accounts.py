"""Who may get in: users, API keys, and whoever asks. Those of the server, not of one gallery."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field

from reidapp.errors import UnknownError, UserError
from reidapp.server.access import AnyAdmin, Anybody
from reidapp.server.askers import ROLES, Asker, HeadsRight, Role
from reidapp.server.audit import Audit
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, Utc
from reidapp.server.sign_in import UserDoor
from reidapp.server.users import KEY_DAYS, LEAST_PASSWORD, MOST_PASSWORD, Account, Users

router = APIRouter(tags=["users"])

# Its rules are the store's, which says what is wrong in words.
Password = Annotated[str, Field(max_length=MOST_PASSWORD, description=f"{LEAST_PASSWORD} characters at least.")]
CameraNames = Annotated[list[Name], Field(max_length=1000)]


class Me(BaseModel):
    """Whoever asks."""

    name: str
    role: Role
    may: list[Role] = Field(description="The roles whose work they may do. Who may see a part is no admin.")
    cameras: list[str] | None = Field(description="Cameras and groups that they may see; null: all.")
    after: Utc | None
    before: Utc | None
    heads: HeadsRight = Field(description="How they see heads: in pictures, clips and frames alike.")
    signs_in: bool = Field(description="They have a password here, and can sign out.")
    demand_purpose: bool = Field(description="A search has to say what it is for.")


class OwnPassword(Model):
    password: Password = Field(description="The one so far.")
    new: Password


class Rights(Model):
    """What is left out stays; of somebody new: a viewer without limits."""

    role: Role = "viewer"
    cameras: CameraNames | None = Field(None, description="Only these cameras and groups; null: all.")
    after: AwareDatetime | None = Field(None, description="Only what was there at this time or later.")
    before: AwareDatetime | None = None
    heads: HeadsRight | None = Field(
        None, description="How they see heads; null: as the role does, blurred for viewers and shown to others."
    )


class NewUser(Rights):
    name: Name
    password: Password


class NewKey(Rights):
    name: Name
    days: int = Field(KEY_DAYS, ge=1, le=3650, description="For which it holds.")


class NewPassword(Model):
    password: Password


class User(BaseModel):
    id: str = Field(description="What the log calls them.")
    name: str
    role: Role
    cameras: list[str] | None
    after: Utc | None
    before: Utc | None
    heads: HeadsRight | None
    at: Utc


class Key(User):
    expires: Utc


class KeyWithSecret(Key):
    key: str = Field(description="Send it as Authorization: Bearer …; it is shown this once.")


class UserList(BaseModel):
    users: list[User]
    in_use: bool = Field(description="People sign in here; else they do from the server's next start on.")


class KeyList(BaseModel):
    keys: list[Key]


@router.get("/me")
def me(request: Request, asker: Anybody) -> Me:
    """Whoever asks: name, role, and what they may see."""
    return Me(
        name=asker.name,
        role=asker.role,
        may=[role for role in ROLES if asker.is_at_least(role)],
        cameras=None if asker.cameras is None else sorted(asker.cameras),
        after=asker.after,
        before=asker.before,
        heads="shown" if asker.sees_heads else "blurred",
        signs_in=request.app.state.door is not None and _is_user(request, asker.id),
        demand_purpose=request.app.state.demand_purpose,
    )


@router.post("/me/password")
def change_own_password(request: Request, asker: Anybody, given: OwnPassword) -> Done:
    """Change your password; all your sessions end."""
    door: UserDoor | None = request.app.state.door
    if door is None or not _is_user(request, asker.id):
        raise UnknownError("password: you have none here")
    address = request.client.host if request.client else ""
    account, wait_s = door.sign_in(asker.name, given.password, address, begins=False)
    if account is None:
        wrong = f"too many attempts; try again in {wait_s:.0f} s" if wait_s else "the one so far is another"
        raise UserError(f"password: {wrong}")
    _noting(request, asker).change_password(asker.name, given.new)
    return Done(done=["your password is changed; sign in again"])


@router.get("/users")
def users(request: Request, asker: AnyAdmin) -> UserList:
    """All users, by name."""
    found = [_told(account) for account in _users(request).all()]
    return UserList(users=found, in_use=request.app.state.door is not None)


@router.post("/users", status_code=201)
def new_user(request: Request, asker: AnyAdmin, new: NewUser) -> User:
    """Let somebody in."""
    return _told(_noting(request, asker).add(**new.model_dump()))


@router.patch("/users/{name:path}")
def change_user(request: Request, asker: AnyAdmin, name: NameInPath, rights: Rights) -> User:
    """Change what somebody may do and see; it counts at once."""
    _check_other(request, asker, name)
    return _told(_noting(request, asker).change_rights(name, **rights.model_dump(exclude_unset=True)))


@router.post("/users/{name:path}/password")
def change_password(request: Request, asker: AnyAdmin, name: NameInPath, new: NewPassword) -> Done:
    """Give somebody another password; all their sessions end."""
    _check_other(request, asker, name)
    _noting(request, asker).change_password(name, new.password)
    return Done(done=[f'"{name}" has another password'])


@router.delete("/users/{name:path}")
def remove_user(request: Request, asker: AnyAdmin, name: NameInPath) -> Done:
    """Let somebody in no more."""
    _check_other(request, asker, name)
    _noting(request, asker).remove("user", name)
    return Done(done=[f'"{name}" gets in no more'])


@router.get("/keys")
def keys(request: Request, asker: AnyAdmin) -> KeyList:
    """All API keys, by name; the keys themselves are not kept."""
    return KeyList(keys=[Key(**account.to_dict()) for account in _users(request).all("key")])


@router.post("/keys", status_code=201)
def new_key(request: Request, asker: AnyAdmin, new: NewKey) -> KeyWithSecret:
    """Let a program in, for some time."""
    account, key = _noting(request, asker).add_key(**new.model_dump())
    return KeyWithSecret(**account.to_dict(), key=key)


@router.delete("/keys/{name:path}")
def revoke_key(request: Request, asker: AnyAdmin, name: NameInPath) -> Done:
    """Let a program in no more."""
    _noting(request, asker).remove("key", name)
    return Done(done=[f'key "{name}" opens nothing any more'])


def _users(request: Request) -> Users:
    known: Users | None = request.app.state.users
    if known is None:
        raise UnknownError("this server keeps no users")
    return known


def _noting(request: Request, asker: Asker) -> Users:
    """Of whom what changes is written down as this asker's doing."""
    audit: Audit | None = request.app.state.audit

    def note(what: str, account: Account) -> None:
        if audit:
            audit.add("change of rights", asker.id, what=what, account=account.id)

    return _users(request).noted(note)


def _is_user(request: Request, id_: str) -> bool:
    account = _users(request).called(id_)
    return account is not None and account.kind == "user"


def _check_other(request: Request, asker: Asker, name: str) -> None:
    """
    Raises:
        UserError: it is who asks. They change everybody but themselves, so that an admin always remains.
    """
    if _users(request).named("user", name).id == asker.id:
        raise UserError(f'"{name}": those are your own rights; another admin changes them')


def _told(account: Account) -> User:
    return User(**account.to_dict())
