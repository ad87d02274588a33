"""The places at which a process may die, named after the crash points K0…K15. A test arms them.

What is on disk at each, and what recovers it:

K0  a plan partly stored                nothing was committed; the import runs again, by its own keys
K1  before a claim                      nothing; another worker claims the text
K2  claimed, its attempt not written    nothing was committed: claim and attempt are one transaction
K3  attempt committed, call not begun   the lease expires, the look-up finds nothing, twice; one resend
K5  the call on the wire                the lease expires, the look-up finds it, or a receipt settles it
K6  refused, not recorded               the lease expires; absent twice; one resend, refused again
K7  accepted, not recorded              the lease expires; the look-up finds its sid, or a receipt brings it
K8  the commit of the answers           written or not: recording is idempotent, and a missing one is as K7
K9  a receipt came, not committed       Twilio calls again, or we ask after fifteen minutes
K10 asked about silence, not recorded   we ask again
K11 the look-up found it, not recorded  we look it up again
K14 a STOP came, not committed          we find it in Twilio's list within a minute
K15 a change, not committed             nothing was changed; its author was not told otherwise

K4 (no connection), K12 (a lease lost while its worker lives) and K13 (a restore) are not places in the code.
"""

from collections.abc import Callable

_die: Callable[[str], None] | None = None


def arm(die: Callable[[str], None] | None) -> None:
    """Call `die` with the name of each point that is passed from now on; None disarms. For tests."""
    global _die  # ruff: ignore[global-statement]  one process has one life
    _die = die


def point(name: str) -> None:
    """A place at which this process may die."""
    if _die is not None:
        _die(name)
