"""Tries the targets of test_fuzz.py for long, with inputs that are new each time.

    python tests/fuzz.py --minutes 60 [--only NAME]

Ends with 1 and the smallest input at the first that does not hold; put that into the target's `found`.
"""

import argparse
import time
from collections import Counter

from test_fuzz import TARGETS, tried

N_EXAMPLES = 500  # of a target before the next one has its turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="how long, all targets together")
    parser.add_argument("--only", choices=[target.name for target in TARGETS], help="one target alone")
    options = parser.parse_args()
    targets = [target for target in TARGETS if options.only in (None, target.name)]
    ends, n_tried = time.monotonic() + 60 * options.minutes, Counter[str]()
    while time.monotonic() < ends:
        for target in targets:
            if time.monotonic() < ends:
                tried(target, N_EXAMPLES, is_alike=False)
                n_tried[target.name] += N_EXAMPLES
    print("held:", ", ".join(f"{name} {n}" for name, n in n_tried.items()))


if __name__ == "__main__":
    main()
