"""The corridor: the one way from a prompt to a settled receipt. ``passage.py`` shows its steps in order.

A ``Passage`` is one call; its attempts are in ``sending.py``, what the book hears of them in ``booking.py``, and a call
in several parts in ``splitting.py``.
"""
