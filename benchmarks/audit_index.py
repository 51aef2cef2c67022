"""Measure the search for clips that look alike among very many, by an index (the extra `index`), on made-up hashes.

    python -m benchmarks.audit_index [--clips 50000 200000] [--searched 1000] [--json FILE]

Clips of 20 sampled frames, of which 500 have a copy. Builds the index of all, searches some, and extrapolates the rest.
Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from dfer_data.auditing.candidate_index import FrameSamples, indexed_pairs

NUM_SAMPLES, NUM_COPIES = 20, 500


def made_samples(number: int) -> FrameSamples:
    """Return the samples of a clip: a walk about its own face; 0 and 1, 2 and 3... to 999 are copies."""
    original = number - number % 2 if number < 2 * NUM_COPIES else number
    rng = np.random.default_rng((5, original))
    walk = rng.normal(0, 1, 63) + np.cumsum(rng.normal(0, 0.1, (NUM_SAMPLES, 63)), axis=0)
    if original != number:
        walk += np.random.default_rng((6, number)).normal(0, 0.1, walk.shape)
    return np.asarray(walk / np.linalg.norm(walk, axis=1, keepdims=True), np.float32)


def measured(num_clips: int, *, num_searched: int) -> dict[str, float | int]:
    """Build, search and count."""
    made = np.stack([made_samples(number) for number in range(num_clips)])
    begun = time.process_time()
    searched_at: list[float] = [begun]

    def samples(number: int, *, is_mirrored: bool = False) -> FrameSamples:
        return np.asarray(-made[number] if is_mirrored else made[number], np.float32)

    pairs = set()
    for pair in indexed_pairs(
        samples, num_clips, num_own=num_searched, on_block=lambda done, total: searched_at.append(time.process_time())
    ):
        pairs.add(pair)
    finished = time.process_time()
    per_block = (searched_at[-1] - searched_at[1]) / max(1, len(searched_at) - 2)
    built = searched_at[1] - begun - per_block
    copies = {(number, number + 1, False) for number in range(0, min(num_searched, 2 * NUM_COPIES), 2)}
    seconds_per_clip = (finished - begun - built) / num_searched
    return {
        "clips": num_clips,
        "build_seconds": round(built, 1),
        "milliseconds_per_searched_clip": round(1e3 * seconds_per_clip, 2),
        "search_minutes_of_all": round(seconds_per_clip * num_clips / 60, 1),
        "copies": len(copies),
        "copies_found": len(copies & pairs),
        "other_pairs": len(pairs - copies),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure each size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[50_000])
    parser.add_argument("--searched", type=int, default=1_500)
    parser.add_argument("--json", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    rows = []
    for number in options.clips:
        rows.append(measured(number, num_searched=options.searched))
        print(json.dumps(rows[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
