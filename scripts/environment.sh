# Sourced by quickstart.sh and test.sh: a virtual environment in .venv, and Fashion-MNIST.

python="${PYTHON:-python3}"
if ! "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    echo "error: Python 3.10 or newer with venv is needed (on Debian: apt-get install python3-venv); PYTHON names one" >&2
    exit 1
fi

# install EXTRAS: the library in .venv, with tested versions. EXTRAS is "" or e.g. "[test]".
install() {
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    echo "Installing into .venv. The first time this downloads PyTorch, transformers and what they need: 2 to 5 minutes."
    local log step last=""
    log=$(mktemp)
    .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e ".$1" \
        >"$log" 2>&1 &
    local pip=$!
    while kill -0 "$pip" 2>/dev/null; do
        sleep 2
        step=$(grep -E '^ *(Collecting|Downloading|Using cached|Building|Installing)' "$log" | tail -n 1 | cut -c 1-90)
        [ "$step" = "$last" ] || echo "  $step"
        last="$step"
    done
    if ! wait "$pip"; then
        tail -n 20 "$log" >&2
        echo "error: the installation failed (complete log: $log)" >&2
        exit 1
    fi
    rm -f "$log"
}

# fashion_mnist: make sure that the data set can be read; from this machine, the Hub, or Debian's package.
fashion_mnist() {
    read_it='from zoo.data.fashion_mnist import load_fashion_mnist as f; s = f(); print(f"Fashion-MNIST from {s.source}")'
    if .venv/bin/python -W ignore -c "$read_it" 2>/dev/null; then
        return
    fi
    if command -v apt-get >/dev/null; then
        echo "Fashion-MNIST is not here and the Hub does not answer: installing Debian's package dataset-fashion-mnist ..."
        as_root=""
        [ "$(id -u)" -eq 0 ] || as_root="sudo"
        $as_root apt-get update -qq && $as_root apt-get install -y -qq dataset-fashion-mnist >/dev/null
    fi
    .venv/bin/python -W ignore -c "$read_it" 2>&1 | tail -n 1
}
