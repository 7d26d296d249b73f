"""What each read of `shapes.py` hangs on and what each deed of `deeds.py` changes, said by hand in the words of tags.

A word is a table (`book`), a row of it (`book#ONE`) or a slice of a declared index (`book?status=draft`); `book#*` and
`book?*` are all rows and slices, changed by what cannot name them. Whatever is changed of a table, its readers as a
whole must hear of it; readers of a row or of a slice only of that row or slice. A read that hangs on nothing that a
deed changes must stay valid.
"""

from __future__ import annotations

READS: dict[str, str] = {
    # rows
    "row": "book#ONE",
    "other row": "book#TWO",
    "row by text": "book#ONE",
    "no such row": "book#NONE",
    "rows": "book#ONE book#TWO",
    "in_bulk": "book#NONE book#ONE",
    "row and slice": "book#ONE",
    "deferred": "book#ONE",
    "uuid": "parcel#BOX",
    "natural key": "country#be",
    "missing natural key": "country#de",
    "proxy row": "book#ONE",
    # slices
    "slice": "book?author=ADA",
    "slice by status": "book?status=draft",
    "slice by two": "book?author=ADA",
    "slice and title": "book?status=draft",
    "slices": "book?status=draft book?status=sold",
    "empty slice": "book?status=sold",
    "slice by instance": "book?author=ADA",
    "slice of a slice": "book?status=out",
    "slice of a proxy": "book?status=draft",
    "slice of a parent": "place?city=ghent",
    "slice counted": "book?status=draft",
    "slice exists": "book?status=sold",
    "slice summed": "book?author=ADA",
    # tables
    **dict.fromkeys(
        (
            "slice, case ignored",
            "not the slice",
            "one slice or another",
            "one or the other",
            "not (a and b)",
            "table",
            "range",
            "null",
            "expression",
            "distinct",
            "grouped",
            "dates",
            "latest",
            "iterator",
            "window",
            "case",
            "aggregate of a slice",
            "raw",
            "extra",
        ),
        "book",
    ),
    "own queryset": "shelf",
    "own lookup": "book?status=draft",
    # forward relations
    "forward": "author#ADA book#ONE",
    "select_related": "author book?status=draft",
    "row with select_related": "author book#ONE",
    "ordered by a relation": "author book",
    "filtered by a relation": "author book",
    "slice joined": "author book?status=draft",
    "excluded by a relation": "author book",
    "value of a relation": "author book#ONE",
    "relation of a relation": "country port#PORT",
    "to_field": "port",
    "to_field row": "port#PORT tag",
    "to_field reversed": "port tag",
    "parent of itself": "folder",
    "children of itself": "folder",
    "itself with its parent": "folder",
    # backward relations
    "backward": "author book",
    "backward, excluded": "author book",
    "prefetch": "author book?author=ADA book?author=BOB book?author=EVE",
    "prefetch in chunks": "author book?author=ADA book?author=BOB book?author=EVE",
    "prefetch to a list": "author#ADA book?author=ADA",
    "one to one, backward": "book#ONE cover#ONE",
    "profile": "author#ADA profile",
    "counted relation": "author book",
    "row with a counted relation": "author#ADA book",
    "slice with a counted relation": "book?status=draft book_tags",
    "having": "author book",
    "filtered relation": "author book",
    # many to many
    "tags of a row": "book_tags tag",
    "rows of a tag": "book book_tags",
    "by tag": "book book_tags tag",
    "by tag's key": "book book_tags",
    "without tags": "book book_tags",
    "prefetched tags": "book book_tags tag",
    "members": "author membership",
    "members by role": "author membership",
    "clubs": "author club membership",
    "roles": "author membership",
    "rivals": "author author_rivals",
    "holdings": "book shelf_books",
    # generic relations
    "notes": "note",
    "by note": "book note",
    "subject": "book#ONE note#NOTE",
    "notes by type": "note",
    # inheritance
    "child": "place restaurant#CAFE",
    "children by a parent's index": "place restaurant",
    "children by their own": "place restaurant",
    "parent": "place#CAFE",
    "parents by child": "place restaurant",
    "childless parent": "place restaurant#PARK",
    # queries in queries
    "subquery": "author book?status=draft",
    "row with a subquery": "author#ADA book?status=draft",
    "exists": "author book?status=draft",
    "not exists": "author#ADA book?status=draft",
    "in": "author book?status=draft",
    "not in": "author book?status=out",
    "union": "book?author=ADA book?status=draft",
    "difference": "book?author=ADA book?status=draft",
    "aggregate of an aggregate": "author book",
    "aggregate over a relation": "book?status=draft book_tags",
    "aggregate of an exists": "author book?status=draft",
}

_ONE = "book#ONE book?author=ADA book?status=draft"
_BOTH = "book#ONE book#TWO book?author=ADA book?status=draft book?status=out"
_DRAFTS = "book#ONE book#THREE book?author=ADA book?author=BOB book?status=draft"
_HANGS_ON_A_BOOK = "book_tags note shelf_books visits"
_ANY = "book#* book?*"
_CAFE = "place#CAFE place?city=ghent place?city=bruges"

WRITES: dict[str, str] = {
    # save
    **dict.fromkeys(
        (
            "save",
            "save unchanged",
            "save one field",
            "save an expression",
            "save a deferred",
            "save awaited",
            "save with autocommit off",
            "update a row",
            "remove an edited book",
            "clear edited books",
        ),
        _ONE,
    ),
    "save moves": f"{_ONE} book?status=out",
    "save moves a foreign key": f"{_ONE} book?author=BOB",
    "save a stale instance": f"{_ONE} book?status=out book?status=sold",
    "save an expression on an index": f"{_ONE} book?*",
    "save by key": f"{_ONE} book?author=BOB book?status=out",
    "save a proxy": f"{_ONE} book?status=out",
    "save an author": "author#ADA",
    "save an editor": "author#BOB",
    "save a tag": "port#* tag#RED",
    "save a child": f"{_CAFE} restaurant#CAFE",
    "save a child's own": "restaurant#CAFE",
    "save a parent": _CAFE,
    "save a uuid": "parcel#BOX",
    "save a natural key": "country#be",
    "save a cover": "cover#ONE",
    "save a profile": "profile",
    "save a folder": "folder#ROOT",
    "save a note": "note#NOTE",
    "save to another subject": "note#NOTE",
    "save a to_field": "port#PORT",
    "save a member": "membership",
    "save a shelf": "shelf#SHELF",
    "save by a form": f"{_ONE} book?author=BOB book?status=out book_tags",
    "save from a fixture": f"{_ONE} book?status=sold cover#ONE {_HANGS_ON_A_BOOK} note#*",
    "save in a transaction": f"{_ONE} book?status=out author#ADA tag",
    # create
    "create": "book#NONE book?author=ADA book?status=draft",
    "create with a new key": "book?author=ADA book?status=sold",
    "create an expression": "book#NONE book?author=ADA book?*",
    "create a proxy": "book?author=ADA book?status=draft",
    "create a child": "place?city=ghent restaurant",
    "create a child of a parent": "restaurant#PARK",
    "create a country": "country#de",
    "create an author": "author",
    "create a note": "note",
    "create backwards": "book?author=ADA book?status=draft",
    "create awaited": "book?author=ADA book?status=draft",
    "get_or_create": "book?author=ADA book?status=sold",
    "update_or_create": f"{_ONE} book?status=sold",
    # many at once
    "bulk_create": "book#NONE book?author=ADA book?status=draft book?status=sold",
    "bulk_create a proxy": "book?author=ADA book?status=draft",
    "bulk_create, conflicts ignored": "book#NONE book#ONE book?author=ADA book?status=draft",
    "bulk_create, conflicts updated": _ANY,
    "bulk_create many": _ANY,
    "bulk_update": _BOTH,
    "bulk_update an index": f"{_ONE} book?*",
    "bulk_update a proxy": f"{_ONE} book?*",
    # update
    "update a row's index": f"{_ONE} book?status=sold",
    "update a foreign key": f"{_ONE} book?author=BOB",
    "update a slice": _DRAFTS,
    "update out of a slice": f"{_DRAFTS} book?status=sold",
    "update unfiltered": f"{_BOTH} {_DRAFTS} book#FOUR",
    "update by a range": "book#FOUR book#THREE book?author=BOB book?status=draft book?status=out book?status=sold",
    "update an expression": f"{_ONE} book?*",
    "update over a join": f"{_BOTH} book?status=sold",
    "update by an exists": f"{_BOTH} book?status=sold",
    "update by an aggregate": f"{_ONE} book?status=sold",
    "update of none": "book?status=sold",
    "update a proxy": f"{_ONE} book?status=sold",
    "update a child": f"{_CAFE} restaurant#CAFE",
    "update a child's parent": _CAFE,
    "update a child's own": "restaurant#*",
    "update parents": f"{_CAFE} place#PARK",
    "update a key": "country#de country#nl",
    "update backwards": f"{_BOTH} book?status=sold",
    "update a uuid": "parcel#BAG parcel#BOX",
    "update with a subquery": "port#*",
    **dict.fromkeys(
        ("update in a migration", "save in a migration", "create in a migration", "raw update"),
        _ANY,
    ),
    **dict.fromkeys(
        ("update awaited", "loaddata", "update_or_create awaited"),
        f"{_ONE} book?status=sold",
    ),
    "an action of the admin": f"{_BOTH} book?status=sold",
    "get_or_create awaited": "tag",
    "bulk_create awaited": "book#NONE book?author=ADA book?status=draft book?status=sold",
    "bulk_update awaited": f"{_ONE} book?*",
    "raw update of a parent": "place#* place?*",
    "raw delete by text": "book_tags",
    "raw insert": "tag#*",
    # delete
    **dict.fromkeys(
        ("delete", "delete by a join", "delete a proxy", "delete awaited"),
        f"{_ONE} cover#ONE note#* {_HANGS_ON_A_BOOK}",
    ),
    **dict.fromkeys(
        ("delete a slice", "delete proxies"),
        f"{_DRAFTS} cover#ONE cover#THREE note#* {_HANGS_ON_A_BOOK}",
    ),
    "delete with what hangs on it": (
        f"{_BOTH} author#ADA author_rivals cover#ONE cover#TWO membership note#* profile {_HANGS_ON_A_BOOK}"
    ),
    "delete what others point at": (
        "author#EVE author_rivals book#TWO book?author=ADA book?status=out membership profile"
    ),
    "delete a tag": "book_tags port#* tag#RED",
    "delete a parent": "place#CAFE place?city=ghent restaurant#CAFE",
    "delete a child": "place#BAR place?city=antwerp restaurant#BAR",
    "delete a child only": "restaurant#CAFE",
    "delete a tree": "folder#LEAF folder#ROOT",
    "delete fast": "note#*",
    "delete raw": "membership",
    "delete raw with an annotation": "place#PARK place?city=ghent",
    "delete with a subquery": "folder#LEAF",
    # relations
    **dict.fromkeys(
        (
            "add a tag",
            "add a tag awaited",
            "set tags awaited",
            "remove a tag",
            "set tags",
            "clear tags",
            "add a row to a tag",
            "set a tag's rows",
            "clear a tag",
        ),
        "book_tags",
    ),
    "create a tag": "book_tags tag",
    "add a member": "membership",
    "remove a member": "membership",
    "add a rival": "author_rivals",
    "fill a shelf": "shelf_books",
    "add a book": f"{_ONE} book?author=EVE",
    "add books in bulk": f"{_ONE} book?author=EVE",
    "set edited books": f"{_ONE} book#FOUR book?author=BOB book?status=out",
    "move a folder": "folder#LEAF",
    "retype notes": "note#*",
}


def tables_of(words: str) -> set[str]:
    """Return the tables that words name."""
    return {_table(one) for one in words.split()}


def meets(reads: str, writes: str) -> bool:
    """Tell whether what hangs on `reads` must hear of `writes`."""
    changed = set(writes.split())
    tables = tables_of(writes)
    for one in reads.split():
        table = _table(one)
        mark = one[len(table) : len(table) + 1]
        if one in changed or (table in tables if not mark else f"{table}{mark}*" in changed):
            return True
    return False


def _table(word: str) -> str:
    return word.partition("#")[0].partition("?")[0]
