#!/usr/bin/env bash
# bash scripts/quickstart.sh: from a fresh checkout to a trained classifier and its first answers.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

install ""
fashion_mnist

run="runs/quickstart-$(date +%Y%m%d-%H%M%S)"
machine=cpu
echo "Training a small classifier on Fashion-MNIST: about a minute on two free cores."
.venv/bin/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' && machine=gpu
.venv/bin/accelerate launch --config_file "scripts/accelerate/$machine.yaml" \
    --num_cpu_threads_per_process "$(getconf _NPROCESSORS_ONLN)" \
    scripts/train.py fashion-cnn-quick --output_dir "$run"

cat <<EOF

Try next:
  .venv/bin/python scripts/classify.py $run photo.png                # your own picture
  .venv/bin/accelerate launch scripts/train.py fashion-cnn-quick --num_train_epochs 5 --output_dir runs/longer
  .venv/bin/zoo list                                                 # other models: forecasting, translation, ...

What the new model says of one test image of each class ($run):
EOF
.venv/bin/python scripts/classify.py "$run"
echo
echo "What the shipped model says, zoo.pretrained(\"fashion-cnn\"):"
.venv/bin/python scripts/classify.py fashion-cnn
