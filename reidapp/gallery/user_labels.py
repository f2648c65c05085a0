"""What users have said of whom tracklets show: which show one person, and which show two.

Names come first: tracklets of an identity show one person, those of two identities show two, and one that is not an
identity shows somebody else. Then answers to hits of saved searches, since a query is of one person: what it asks with
and each yes show them, a no doesn't. Of answers that cannot all be right those count that agree with the names, and a
no before a yes. Verdicts in cases say nothing here: a case need not be about one person.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from reidapp.gallery.identities import Identities, IdentityInfo
from reidapp.gallery.saved_searches import SavedSearches, SavedSearchInfo
from reidapp.gallery.store import Gallery


@dataclass(frozen=True)
class UserLabels:
    """Tracklets by ids; nobody's name is in it.

    Attributes:
        together: groups of two tracklets or more that show one person; none is in two of them.
        apart: pairs of tracklets that show two people. The first one of a group stands for all of it.
        contradicted: answers that don't count.
    """

    together: list[list[str]]
    apart: list[tuple[str, str]]
    contradicted: int


def user_labels(gallery: Gallery, tracklets: Collection[str]) -> UserLabels:
    """What has been said of these tracklets and counts now; what was taken back or undone does not."""
    people = _People(tracklets)
    named = _add_names(people, Identities(gallery, by="").all())
    searches = sorted(SavedSearches(gallery, by="").all(), key=lambda search: (search.at, search.name))
    contradicted = _add_answers(people, searches, named)
    return UserLabels(people.together(), people.apart(), contradicted)


def _add_names(people: "_People", identities: Sequence[IdentityInfo]) -> dict[str, str]:
    """{identity: one of its tracklets}, of those that have some."""
    shown = {identity.name: people.known(identity.tracklets("yes")) for identity in identities}
    named = {name: ids[0] for name, ids in shown.items() if ids}
    for name in named:
        people.join(shown[name])
    for one, other in combinations(named.values(), 2):
        people.part(one, other)
    for identity in identities:
        if identity.name in named:
            for id_ in people.known(identity.tracklets("no")):
                people.part(id_, named[identity.name])
    return named


def _add_answers(people: "_People", searches: Sequence[SavedSearchInfo], named: Mapping[str, str]) -> int:
    """How many don't count."""
    contradicted = set[tuple[str, str]]()
    asked = {info.name: people.known([*info.tracklets, named.get(info.identity or "", "")]) for info in searches}
    for info in searches:
        person = people.agreeing(asked[info.name], people.known(info.yes))
        for id_ in people.known(info.no):
            if people.show_one(person, id_):
                contradicted.add((info.name, id_))
                continue
            for one in person:
                people.part(id_, one)
    for info in searches:  # now that every no is known
        yes = people.known(info.yes)
        person = people.agreeing(asked[info.name], yes)
        people.join(person)
        contradicted.update((info.name, id_) for id_ in [*asked[info.name], *yes] if id_ not in person)
    return len(contradicted)


class _People:
    """Some tracklets by the person they show, as far as that is known, and who is not whom."""

    def __init__(self, tracklets: Collection[str]) -> None:
        self._person = {id_: number for number, id_ in enumerate(tracklets)}
        self._shown = {number: [id_] for id_, number in self._person.items()}
        self._others = defaultdict[int, set[int]](set)

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those that are among the tracklets."""
        return [id_ for id_ in ids if id_ in self._person]

    def join(self, tracklets: Sequence[str]) -> None:
        """They show one person; none of them is known to show another."""
        for id_ in tracklets[1:]:
            one, gone = self._person[tracklets[0]], self._person[id_]
            if one == gone:
                continue
            for each in self._shown.pop(gone):
                self._person[each] = one
                self._shown[one].append(each)
            for other in self._others.pop(gone, ()):
                self._others[other].discard(gone)
                self._others[other].add(one)
                self._others[one].add(other)

    def part(self, one: str, other: str) -> None:
        """They show two people, and are not known to show one."""
        a, b = self._person[one], self._person[other]
        self._others[a].add(b)
        self._others[b].add(a)

    def show_one(self, tracklets: Iterable[str], other: str) -> bool:
        """Whether one of them is known to show whom the other shows."""
        return any(self._person[id_] == self._person[other] for id_ in tracklets)

    def agreeing(self, asked: Sequence[str], yes: Sequence[str]) -> list[str]:
        """Those of a query's tracklets that may show one person: what it asks with comes before what was a yes."""
        asked = self._undisputed(asked, asked)
        yes = self._undisputed(yes, asked)
        return asked + self._undisputed(yes, yes)

    def together(self) -> list[list[str]]:
        return sorted(sorted(ids) for ids in self._shown.values() if len(ids) > 1)

    def apart(self) -> list[tuple[str, str]]:
        first = {person: min(ids) for person, ids in self._shown.items()}
        pairs = ((first[one], first[other]) for one, others in self._others.items() for other in others if one < other)
        return sorted((min(pair), max(pair)) for pair in pairs)

    def _undisputed(self, tracklets: Sequence[str], among: Sequence[str]) -> list[str]:
        people = {self._person[id_] for id_ in among}
        return [id_ for id_ in tracklets if people.isdisjoint(self._others[self._person[id_]])]
