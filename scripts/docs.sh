#!/usr/bin/env bash
# bash scripts/docs.sh: from a fresh checkout to the site in build/docs/site; a warning is an error.
# bash scripts/docs.sh serve: then shows it on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

install "[docs]"
export NO_MKDOCS_2_WARNING=1 HF_HUB_OFFLINE=1
.venv/bin/python -W ignore scripts/docs/stage.py
.venv/bin/python -m mkdocs build --strict --config-file build/docs/mkdocs.yml
echo "The site: build/docs/site/index.html"
if [ "${1:-}" = serve ]; then
    .venv/bin/python -m http.server --bind 127.0.0.1 --directory build/docs/site 8000
fi
