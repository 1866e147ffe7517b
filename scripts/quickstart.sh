#!/usr/bin/env bash
# bash scripts/quickstart.sh: from a fresh checkout to a trained classifier and its first answers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

install ""
fashion_mnist

run="runs/quickstart-$(date +%Y%m%d-%H%M%S)"
machine=cpu
.venv/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && machine=gpu
.venv/bin/accelerate launch --config_file "scripts/accelerate/$machine.yaml" \
    scripts/train.py fashion-cnn-quick --output_dir "$run"

echo
echo "The model just trained, loaded with AutoModelForImageClassification.from_pretrained(\"$run\"):"
.venv/bin/python scripts/classify.py "$run"
echo
echo "The shipped model, zoo.pretrained(\"fashion-cnn\"):"
.venv/bin/python scripts/classify.py fashion-cnn
