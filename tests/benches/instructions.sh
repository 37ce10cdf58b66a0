#!/bin/sh
# Counts the instructions of rondo's hot loops with valgrind, which repeats to the instruction where
# nanoseconds do not.
#
#   instructions.sh            prints instructions a call of every loop, the loop's own included
#   instructions.sh --check    the same, and fails if one is above its ceiling in instructions.txt
#   instructions.sh --write    writes instructions.txt anew: ceilings are a tenth above the counts
#   instructions.sh --lines    prints the cache lines that one call touches
#   instructions.sh --peers    counts the peers' loops too (builds them all)
#   instructions.sh --table    counts of all loops and lines of rondo's as a table in Markdown
#
# A count is the difference of two runs, divided by the difference of their iterations, so what sets
# the loop up falls out. Valgrind has no vDSO: what a coarse clock costs inside of it is not counted.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
baseline=$here/instructions.txt
mode=${1:-}
: "${CARGO:=cargo}"
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

if [ "$mode" = --table ]; then
    "$here/instructions.sh" --peers >"$work/counts"
    "$here/instructions.sh" --lines >"$work/lines"
    echo "| loop | instructions a call | lines touched |"
    echo "|---|---|---|"
    awk 'NR == FNR { lines[$1] = $2; next } { printf "| %s | %s | %s |\n", $1, $2, lines[$1] }' \
        "$work/lines" "$work/counts" | sort -t '|' -n -k 3
    exit
fi

if [ "$mode" = --peers ]; then
    $CARGO build --release --quiet --locked -p rondo-benches
    loops=$target/release/rondo-benches
    # Not the kernel's work, nor what measures a clock while it sets itself up, for a time that differs from run to run.
    names=$("$loops" --list | grep -v -x -e write -e statsd -e 'metrics-.*')
    command="$loops --count NAME --iterations COUNT"
else
    $CARGO build --release --quiet --locked -p rondo-benches --no-default-features --bin hot-loops
    loops=$target/release/hot-loops
    names=$("$loops")
    command="$loops NAME COUNT"
fi

# Instructions of one whole run: $1 name, $2 iterations.
run() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        $(echo "$command" | sed "s/NAME/$1/; s/COUNT/$2/") 2>&1 |
        awk '/Collected/ { print $4 }'
}

# Instructions a call of one loop, into a file of its name.
count() {
    few=$(run "$1" 3000) many=$(run "$1" 33000)
    awk -v name="$1" -v few="$few" -v many="$many" \
        'BEGIN { printf "%s %.1f\n", name, (many - few) / 30000 }' >"$work/$1"
}

# The distinct cache lines between the two stores to the marked word, but for the loop's, the stack's, and
# constants of the program, which valgrind loads below 0x400000.
lines() {
    valgrind --tool=lackey --trace-mem=yes --log-file="$work/trace" "$loops" "$1" >"$work/where"
    cat "$work/where" "$work/trace" | awk -v name="$1" '
        $1 == "mark" {
            mark = $2; stack = $NF
            for (i = 4; i < NF - 1; i++) skip[$i] = 1
        }
        $1 == "L" || $1 == "S" || $1 == "M" {
            split($2, at, ","); address = at[1]; sub(/^0+/, "", address)
            n = length(address)
            if (n < 6 || n == 6 && address < "400000") constant = 1; else constant = 0
            line = substr(address, 1, n - 2) int((index("0123456789abcdef", substr(address, n - 1, 1)) - 1) / 4)
            if (line == mark && $1 == "S") { inside = !inside; next }
            if (inside && !constant && !(line in skip) && substr(address, 1, n - 4) != stack) seen[line] = 1
        }
        END { for (line in seen) { count++; all = all " " line }; printf "%-28s %d %s\n", name, count, all }'
}

if [ "$mode" = --lines ]; then
    for name in $names; do lines "$name"; done
    exit
fi

# As many at once as there are cores: counts do not mind.
cores=$(getconf _NPROCESSORS_ONLN)
running=0
for name in $names; do
    count "$name" &
    running=$((running + 1))
    if [ "$running" -ge "$cores" ]; then wait; running=0; fi
done
wait

for name in $names; do cat "$work/$name"; done >"$work/all"
if [ "$mode" = --write ]; then
    {
        echo "# Instructions a call of each hot loop (its own 12 included), and the most that pass."
        echo "# Written by instructions.sh --write; checked by instructions.sh --check."
        awk '{ printf "%-28s %7.1f %5d\n", $1, $2, int($2 * 1.1 + 1) }' "$work/all"
    } >"$baseline"
fi
awk '
    NR == FNR { if ($1 != "#") ceiling[$1] = $3; next }
    {
        limit = ($1 in ceiling) ? ceiling[$1] : "-"
        over = limit != "-" && $2 > limit
        failed += over
        printf "%-28s %8.1f  at most %s%s\n", $1, $2, limit, over ? "  ABOVE" : ""
    }
    END { exit failed > 0 }' "$baseline" "$work/all" && passed=yes || passed=no
[ "$mode" != --check ] || [ "$passed" = yes ] || { echo "more instructions than instructions.txt allows" >&2; exit 1; }
