"""Tries the targets of test_fuzz.py for long, with inputs that are new each time.

    python tests/fuzz.py --minutes 60 [--only NAME]

Minutes are those of a core at work, not of the clock: on a busy machine an hour tries as much as on a free one.
Ends with 1 and the smallest input at the first that does not hold; put that into the target's `found`.
"""

import argparse
import os
from collections import Counter

from test_fuzz import TARGETS, tried

N_EXAMPLES = 500  # of a target before the next one has its turn


def worked_s() -> float:
    """Seconds of a core that this process and the children that it waited for have worked."""
    return sum(os.times()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="of one core at work, all targets together")
    parser.add_argument("--only", choices=[target.name for target in TARGETS], help="one target alone")
    options = parser.parse_args()
    targets = [target for target in TARGETS if options.only in (None, target.name)]
    ends, n_tried = worked_s() + 60 * options.minutes, Counter[str]()
    while worked_s() < ends:
        for target in targets:
            if worked_s() < ends:
                tried(target, N_EXAMPLES, is_alike=False)
                n_tried[target.name] += N_EXAMPLES
    print("held:", ", ".join(f"{name} {n}" for name, n in n_tried.items()))


if __name__ == "__main__":
    main()
