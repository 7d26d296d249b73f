"""Whether the memo of a request may answer."""

from __future__ import annotations

from cachekit import computing
from cachekit.conf import conf
from cachekit.core.policy import Spec
from cachekit.memos import Memo, scope
from cachekit.modes import mode


def memo_for(spec: Spec) -> Memo | None:
    """Return the memo that may answer here: none in a transaction that is special, nor where hits are looked at."""
    memo = scope.get()
    if memo is None or not spec.policy.memo or spec.policy.timeout == 0:
        return None
    given = conf()
    if mode.get() == "refresh":
        memo.drop(spec)
    return None if mode.get() or given.AUDIT or given.SHADOW or not given.ENABLED or computing.apart() else memo
