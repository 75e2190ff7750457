"""The decision rules of ``claims.yml`` as code, one function a claim: settings and a table of runs in, parts out.

A part is an effect with a 95 % interval and the side of a margin on which the claim puts it: it holds when the interval lies
wholly on that side, fails when wholly on the other, and is undecided otherwise. A rule is committed before the runs it judges.
One module a chapter.
"""

from datadiet.rules import conflict, dynamic, fair, fractions, images, influence, joint, landscape, noise, pool, timing
from datadiet.rules.core import ENOUGH, Part, difference, interval, part

_ROOMS = (timing, fractions, influence, noise, dynamic, fair, images, landscape, joint, pool)
RULES = {name: rule for room in _ROOMS for name, rule in room.RULES.items()}

__all__ = ["ENOUGH", "RULES", "Part", "conflict", "difference", "influence", "interval", "landscape", "part"]
