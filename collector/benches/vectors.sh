#!/bin/sh
# Whether `Window::merge` adds and compares two numbers at once: looks for the instructions in the benchmark's code.
# Under a minute, most of it compiling. Only for x86-64.
set -eu
cd "$(dirname "$0")/../.."
program=$(cargo bench --locked --quiet -p rondo-collector --bench consolidate --no-run --message-format=json |
  sed -n 's/.*"executable":"\([^"]*consolidate[^"]*\)".*/\1/p' | tail -1)
code=$(objdump --disassemble --demangle --no-show-raw-insn "$program" |
  awk '/^[0-9a-f]+ <.*consolidate::window::Window.*merge.*>:$/ { inside = 1 } /^$/ { inside = 0 } inside')
test -n "$code" || { echo "Window::merge was not found in $program: is it inlined?" >&2; exit 1; }
for instruction in addpd minpd maxpd; do
  count=$(echo "$code" | grep -c "[[:space:]]v\{0,1\}$instruction" || true)
  echo "$instruction $count"
  test "$count" -gt 0 || { echo "Window::merge has no $instruction: its loops are not vectorised" >&2; exit 1; }
done
