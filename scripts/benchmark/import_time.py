"""python scripts/benchmark/import_time.py [REPEATS]

Wall time of `import zoo` against importing transformers' own Bart modeling module, in fresh interpreters, in turn.
"""

import statistics
import subprocess
import sys
import time

PEER = "import transformers.models.bart.modeling_bart"
OURS = "import zoo"


def seconds(code: str) -> float:
    """Wall time of a fresh interpreter that runs the code."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    return time.perf_counter() - start


def main(repeats: int) -> None:
    """Print both medians and their ratio; the first round only warms the disk cache."""
    times: dict[str, list[float]] = {OURS: [], PEER: []}
    for number in range(repeats + 1):
        for code in times:
            value = seconds(code)
            if number:
                times[code].append(value)
    for code, values in times.items():
        print(f"{statistics.median(values):6.2f} s (fastest {min(values):.2f})  {code}")
    ratios = [ours / peer for ours, peer in zip(times[OURS], times[PEER])]
    print(f"ratio {statistics.median(ratios):.3f} (zoo / Bart, median of {repeats} pairs; at most 1 is the aim)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
