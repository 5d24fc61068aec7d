"""What two versions of a package, two packages or two states differ in: pure values.

Everywhere ``a`` is the side that is compared from and ``b`` the one that is compared to, as in ``git diff A B``; what
is not on a side is None. Exchanging the sides exchanges ``a`` with ``b`` and ``added`` with ``removed``, nothing else.
"""
