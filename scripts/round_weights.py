"""python scripts/round_weights.py FOLDER

Rewrites the weights of a finished run or a model card in half precision (`save_dtype: float16`), half as many bytes,
and measures validation and test split again, so that the record describes what is saved. Set `save_dtype: float16` in
the recipe, too, and run `zoo card FOLDER --refresh_publish` afterwards.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from zoo.record import RunRecord, sha256, write_whole
from zoo.registry import load_task
from zoo.training.evaluate import evaluate, prepare
from zoo.training.recipe import read_yaml, write_yaml
from zoo.training.save_dtype import convert_file, round_weights

DTYPE = "float16"
WEIGHTS = "model.safetensors"


def main() -> None:
    """Round, measure, and replace weights, record and recipe when all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    record = RunRecord.read(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        copy = shutil.copytree(folder, Path(temporary) / folder.name)
        model = load_task(record.recipe["task"]).auto_class.from_pretrained(copy, use_safetensors=True)
        round_weights(model, DTYPE)  # refuses values that the type cannot hold
        convert_file(copy / WEIGHTS, model, DTYPE)
        for split in ("validation", "test"):
            measured = evaluate([str(copy), "--split", split])
            record.metrics |= measured.metrics
        evaluation = prepare([str(copy), "--split", "test"])
        data, task = evaluation.data, evaluation.task
        record.tables = measured.report.tables
        record.baselines = task.baselines(data.train, data.test)
        record.data["splits"] = {
            name: {"n": len(rows), "sha256": data.fingerprint.get(name)} for name, rows in data.splits().items()
        }
        record.recipe["training"]["save_dtype"] = DTYPE
        record.weights_sha256 = sha256(copy / WEIGHTS)
        recipe = read_yaml(folder / "recipe.yaml", "recipe")
        recipe["training"]["save_dtype"] = DTYPE
        (copy / WEIGHTS).replace(folder / WEIGHTS)
    write_whole(folder / "recipe.yaml", write_yaml(recipe))
    record.write(folder)


if __name__ == "__main__":
    main()
