#!/bin/sh
# foreign.sh [DIRECTORY]: fetches what the readers in other languages need that no system has, compiles spec/slab.ksy to
# Python, and fetches the parser of the documentation's diagrams. Does nothing where nothing changed. Needs npm, python3, a network.
set -eu
cd "$(dirname "$0")/.."
directory=${1:-target/foreign}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

# True if $1 was made from the files that follow as they are now.
fresh() {
    made=$1
    shift
    cat "$@" | cmp -s - "$directory/$made.made-from"
}
made() {
    made=$1
    shift
    cat "$@" >"$directory/$made.made-from"
}

if ! fresh node_modules spec/kaitai/package-lock.json; then
    cp spec/kaitai/package.json spec/kaitai/package-lock.json "$directory"
    npm ci --prefix "$directory" --ignore-scripts --no-audit --no-fund --silent
    made node_modules spec/kaitai/package-lock.json
fi
if ! fresh venv spec/kaitai/requirements.txt; then
    python3 -m venv --clear "$directory/venv"
    "$directory/venv/bin/pip" install --quiet --disable-pip-version-check -r spec/kaitai/requirements.txt
    made venv spec/kaitai/requirements.txt
fi
if ! fresh mermaid tests/mermaid/package-lock.json; then
    mkdir -p "$directory/mermaid"
    cp tests/mermaid/package.json tests/mermaid/package-lock.json "$directory/mermaid"
    npm ci --prefix "$directory/mermaid" --ignore-scripts --no-audit --no-fund --silent
    made mermaid tests/mermaid/package-lock.json
fi
set -- spec/slab.ksy spec/kaitai/compile.mjs spec/kaitai/package-lock.json
if ! fresh parser "$@"; then
    node spec/kaitai/compile.mjs "$directory/node_modules" "$directory/parser"
    made parser "$@"
fi
