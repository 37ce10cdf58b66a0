#!/bin/sh
# The demo with a Linux guest: here if the processor can, otherwise in a machine that QEMU emulates.
#
#   vmm/guest/demo.sh RONDO VMM OUTPUT [OPTIONS of rondo demo …]
#
# OUTPUT, which is removed first, gets the store, and of an emulated machine its console. The guest's files are made once, in target/guest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
rondo=$1 vmm=$2 out=$3
shift 3
guest=$here/../../target/guest
echo "the guest: Debian's kernel and busybox"
"$here/build.sh" "$guest"
rm -rf "$out"
mkdir -p "$out"
if "$here/has-hardware.sh"; then
    exec "$rondo" demo --machines 1 --linux "$guest" --vmm "$vmm" --store "$out/store" "$@"
fi
echo "no virtualisation in hardware: QEMU emulates a processor that has it, and all is slower there"
# One that is emulated boots in 3 s, and its guest in 5 s more; the rest is for the demo, the collector and the store; LIMIT is for all.
export RONDO="$rondo" LIMIT="${LIMIT:-600}"
echo "demo $LIMIT demo --machines 1 --linux /guest --vmm /$(basename "$vmm") --store /out/store $*" |
    "$here/nested.sh" "$vmm" "$guest" "$out"
exit "$(cat "$out/demo.code")"
