"""Which class of data every column and every member of what the log keeps is of.

A value is declared by its type, if that says enough (an id, a keyed token), else by a name that
means the same everywhere; a line for its place goes before both. What none of them says is
undeclared, and a declaration that decides nothing is stale; neither may be.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from psycopg import Connection

from scudo.fabric import queries
from scudo.kernel import InvariantBroken

DECLARATIONS: Final = Path(__file__).parent / "classes.toml"
_SQL: Final = queries("scudo.governance", "classification.sql")


class DataClass(StrEnum):
    """Who may see a value, the most open first; the file says what each means."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential by law"
    PERSONAL = "personal"
    CARDHOLDER = "cardholder"
    SECRET = "secret"  # noqa: S105 - the name of a class


#: Of these it is said why they may be where they are.
_TO_JUSTIFY: Final = frozenset({DataClass.PERSONAL, DataClass.CARDHOLDER, DataClass.SECRET})


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of data, and what is of it.

    Attributes:
        data_class: one of the classes.
        of: types, names, or whole places.
        why: it may be there, or how it is known that it is no worse.
    """

    data_class: DataClass
    of: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    why: str = ""


class Declarations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All declarations, as the file has them."""

    types: tuple[Declaration, ...]
    names: tuple[Declaration, ...]
    lines: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A place where a value is kept.

    Attributes:
        place: `schema.table.column`, or `module.Struct.member`.
        kinds: of its type: PostgreSQL's name of it, the prefix of an id, `instant`, `enum`, or
            the name of a Python type; several if it is made of several.
    """

    place: str
    kinds: frozenset[str]

    @property
    def name(self) -> str:
        """Its own name, without the place."""
        return self.place.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Classified:
    """What is known of all members that were asked about.

    Attributes:
        classes: the declaration that decides each place.
        undeclared: places of which none says anything.
        stale: what is declared and decides nothing.
    """

    classes: Mapping[str, Declaration]
    undeclared: tuple[str, ...]
    stale: tuple[str, ...]


def load_declarations(file: Path = DECLARATIONS) -> Declarations:
    """Read the declarations.

    Raises:
        InvariantBroken: the file is not as documented, declares something twice, or does not
            say why personal data, cardholder data or a secret may be where it is.
    """
    try:
        read = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Declarations)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{file.name}: {error}"
        raise InvariantBroken(message) from error
    for group in (read.types, read.names, read.lines):
        of = [what for declaration in group for what in declaration.of]
        twice = sorted({what for what in of if of.count(what) > 1})
        if twice:
            message = f"{file.name}: {', '.join(twice)}: declared twice"
            raise InvariantBroken(message)
        for declaration in group:
            if declaration.data_class in _TO_JUSTIFY and not declaration.why:
                message = f"{file.name}: {declaration.of[0]}: does not say why it may be there"
                raise InvariantBroken(message)
    return read


def classify(members: Iterable[Member], declared: Declarations) -> Classified:
    """Find the declaration of each member."""
    types, names, lines = (
        {what: declaration for declaration in group for what in declaration.of}
        for group in (declared.types, declared.names, declared.lines)
    )
    classes, undeclared, used = {}, [], set()
    for member in members:
        by_type = {kind: types.get(kind) for kind in member.kinds}
        of_types = {id(declaration): declaration for declaration in by_type.values()}
        if member.place in lines:
            used.add(("lines", member.place))
            found = lines[member.place]
        elif len(of_types) == 1 and (only := next(iter(of_types.values()))) is not None:
            used.update(("types", kind) for kind in member.kinds)
            found = only
        elif member.name in names:
            used.add(("names", member.name))
            found = names[member.name]
        else:
            undeclared.append(member.place)
            continue
        classes[member.place] = found
    every = {
        (group, what)
        for group, known in (("types", types), ("names", names), ("lines", lines))
        for what in known
    }
    stale = tuple(f"{group}: {what}" for group, what in sorted(every - used))
    return Classified(classes, tuple(sorted(undeclared)), stale)


def columns_of(connection: Connection[Any]) -> Iterator[Member]:
    """Every column of every table and view of a migrated database; partitions are their table's.

    Args:
        connection: of a role that sees all schemas: the owner's.
    """
    for place, kind in connection.execute(_SQL["columns"]):
        yield Member(place, frozenset({kind}))


def members_of(structs: Iterable[type[msgspec.Struct]]) -> Iterator[Member]:
    """Every member of structs, and of the structs inside them, each struct once."""
    waiting, seen = list(structs), set()
    while waiting:
        struct = waiting.pop()
        if struct in seen:
            continue
        seen.add(struct)
        hints = get_type_hints(struct, include_extras=True)
        where = f"{struct.__module__.removeprefix('scudo.')}.{struct.__name__}"
        for name in struct.__struct_fields__:
            kinds = set()
            for kind in _kinds(hints[name]):
                if isinstance(kind, str):
                    kinds.add(kind)
                else:
                    waiting.append(kind)
            if kinds:
                yield Member(f"{where}.{name}", frozenset(kinds))


def _kinds(hint: object) -> Iterator[str | type[msgspec.Struct]]:
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *metas = get_args(hint)
        extras = [meta.extra for meta in metas if isinstance(meta, msgspec.Meta) and meta.extra]
        said = [str(extra["prefix"]) for extra in extras if "prefix" in extra]
        said += ["instant" for extra in extras if "instant" in extra]
        yield from said or _kinds(inner)
    elif origin is not None:
        for argument in get_args(hint):
            if argument not in {type(None), Ellipsis}:
                yield from _kinds(argument)
    elif isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield "enum"
    else:
        yield getattr(hint, "__name__", str(hint))
