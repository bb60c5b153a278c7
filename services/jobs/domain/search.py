"""What can be asked of the search for open jobs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chassis.errors import Unprocessable

RANKED_MATCHES: Final = 1_000
"""Relevance is computed for the newest so many matches only: ranking all of a common word's would take long."""

_WORD = r"\w+(?:[.\-/@'+]\w+)*"
_TERM = re.compile(rf"""((?<!\S)-)?(?:"([^"]*)"|({_WORD}))""")


class JobSort(StrEnum):
    """The order of results."""

    NEWEST = "newest"
    OLDEST = "oldest"
    RATE_HIGH = "rate_high"
    RATE_LOW = "rate_low"
    RELEVANCE = "relevance"


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which open jobs are wanted: all the conditions given must hold.

    A job pays `rate_min_cents` if its highest rate reaches it, and is within `rate_max_cents` if its lowest
    rate is not above it.
    """

    text: str | None = None
    skills: tuple[str, ...] = ()
    kind: str | None = None
    rate_min_cents: int | None = None
    rate_max_cents: int | None = None
    sort: JobSort = JobSort.NEWEST


def skill_keys(skills: Sequence[str]) -> tuple[str, ...]:
    """The skills as a search compares them: case-folded, trimmed, each once, in order."""
    return tuple(dict.fromkeys(skill.strip().casefold() for skill in skills if skill.strip()))


def plain_words(text: str) -> str:
    """What somebody typed, reduced to words, phrases in quotes, `or`, and `-` before what must not occur.

    PostgreSQL's parser for web searches gives up on runs of other characters ("tsquery stack too small").
    """
    terms = []
    for minus, phrase, word in _TERM.findall(text):
        term = word or " ".join(re.findall(_WORD, phrase))
        if term:
            terms.append(f'{minus}"{term}"' if phrase else f"{minus}{term}")
    return " ".join(terms)


def require_rankable(query: JobQuery) -> None:
    """Let pass only a query that its order makes sense for.

    Raises: Unprocessable for relevance without words to be relevant to.
    """
    if query.sort is JobSort.RELEVANCE and query.text is None:
        raise Unprocessable.field("sort", "sort=relevance needs q.", where="query")
