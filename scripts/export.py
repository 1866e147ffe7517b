"""python scripts/export.py MODEL --format onnx|ctranslate2 [--output_dir FOLDER] [--dtype int8] [--rows 64]

Writes a model for onnxruntime or CTranslate2 and compares it with PyTorch. See docs/guides/export.md.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
