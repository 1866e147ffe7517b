"""python scripts/benchmark/search_efficiency.py GRID SEARCH

How near a search came to the best point of a grid, for how many of its epochs. GRID and SEARCH are folders of
`zoo tune` over the same space of choices, e.g.

python scripts/tune.py fashion-cnn-course --skip_final --output_dir runs/tune/grid
python scripts/tune.py fashion-cnn-course --skip_final --output_dir runs/tune/search --algorithm random --trials 16 \\
    --scheduler asha --total_epochs 32
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Look the search's choice up in the grid, where it was trained to the end."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    grid, search = (json.loads((Path(folder) / "search.json").read_text()) for folder in sys.argv[1:])
    scores = {json.dumps(trial["point"], sort_keys=True): trial["score"] for trial in grid["trials"]}
    chosen = json.dumps(search["best"]["point"], sort_keys=True)
    if chosen not in scores:
        raise SystemExit(f"error: the grid has no point {chosen}")
    best, score = grid["best"]["score"], scores[chosen]
    epochs = search["epochs_trained"] / grid["epochs_trained"]
    print(f"best of the grid: {best:.4f} after {grid['epochs_trained']} epochs of {len(scores)} points")
    print(f"the search's choice, trained to the end: {score:.4f}, {score / best:.2%} of it")
    print(f"epochs of the search: {search['epochs_trained']}, {epochs:.1%} of the grid's")


if __name__ == "__main__":
    main()
