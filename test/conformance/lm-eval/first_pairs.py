"""The first pairs of every paradigm of BLiMP: `first_pairs.py blimp.jsonl.xz COUNT OUTPUT.jsonl.xz`."""

import json
import lzma
import sys
from collections import Counter

source, count, output = sys.argv[1:]
taken: Counter[str] = Counter()
with lzma.open(source, "rt") as lines, lzma.open(output, "wt") as kept:
    for line in lines:
        paradigm = json.loads(line)["UID"]
        taken[paradigm] += 1
        if taken[paradigm] <= int(count):
            kept.write(line)
