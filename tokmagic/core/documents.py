"""What a document takes. A plain text is counted as one; of a PDF only its provider knows what it reads on each page.

A page is read as its text and as an image of it. How much text it holds cannot be told from the bytes, which are
compressed, so nothing but the model's window bounds a PDF; a provider that counts it itself bounds it better.
"""

from __future__ import annotations

import re

from .messages import PLAIN, Document

#: Tokens of a page as text, and as an image; the text as the providers' own pages on PDFs have it in the middle.
PER_PAGE = 2_250 + 1_568
#: Pages of a document that does not say how many it has.
PAGES = 10
#: More tokens than any window has.
UNBOUNDED = 10**9

_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")
_COUNT = re.compile(rb"/Type\s*/Pages\b[^>]{0,400}?/Count\s+(\d{1,5})|/Count\s+(\d{1,5})[^>]{0,400}?/Type\s*/Pages\b")


def text_of(document: Document) -> str | None:
    """The text of a document that is one; None of a PDF and of one that is somewhere else."""
    return document.data.decode("utf-8", "replace") if document.media_type == PLAIN and not document.url else None


def pages_of(document: Document) -> int:
    """How many pages a PDF has, as far as its bytes say so in the open."""
    stated = [int(first or second) for first, second in _COUNT.findall(document.data)]
    return max([len(_PAGE.findall(document.data)), *stated]) or PAGES
