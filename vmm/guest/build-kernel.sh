#!/bin/sh
# Compiles a minimal kernel for guests out of Debian's package of the kernel's source.
#
#   vmm/guest/build-kernel.sh SOURCE DIRECTORY
#
# SOURCE is the archive of the package; `build.sh --build-kernel` brings it. DIRECTORY gets `vmlinuz-minimal`, a
# bzImage, and `vmlinux-minimal`, the ELF file that is in it. What it has is `tinyconfig` and `kernel.config`. The
# compiler and its tools are installed from Debian's packages where they are missing, which takes root or sudo.
# About 6 minutes of processor time, and 2 GB of disk, most of which is given back.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$1
out=$(cd "$2" && pwd)

# What was made of another source or configuration is made again.
made_from=$(cat "$here/kernel.config" "$0" | cksum)-$(basename "$source")-$(stat -c %s "$source")
if [ "$(cat "$out/kernel.made-from" 2>/dev/null)" = "$made_from" ]; then
    exit 0
fi

# File, and the package that has it.
missing=""
for need in bin/make=make bin/gcc=gcc bin/flex=flex bin/bison=bison bin/bc=bc bin/xz=xz-utils include/libelf.h=libelf-dev; do
    [ -e "/usr/${need%%=*}" ] || missing="$missing ${need#*=}"
done
if [ -n "$missing" ]; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    # shellcheck disable=SC2086 # a list of names
    { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } >&2 ||
        { echo "cannot install:$missing; install them by hand, then try again" >&2; exit 1; }
fi

tree="$out/kernel"
rm -rf "$tree" && mkdir "$tree"
tar -xJf "$source" -C "$tree" --strip-components 1
cd "$tree"
{ # Not one by one: behind || a shell does not stop at the first that fails.
    make -s tinyconfig && scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" && make -s olddefconfig
} >"$out/kernel.log" 2>&1 ||
    { echo "the kernel cannot be configured; see $out/kernel.log" >&2; exit 1; }

# A choice that depends on what was not chosen is dropped without a word.
grep '^CONFIG_' "$here/kernel.config" | while read -r choice; do
    grep -qx "$choice" .config || { echo "the kernel does not take $choice" >&2; exit 1; }
done

nice make -s -j"$(nproc)" bzImage >>"$out/kernel.log" 2>&1 ||
    { echo "the kernel does not compile; see $out/kernel.log" >&2; exit 1; }
strip --strip-debug -o "$out/vmlinux-minimal" vmlinux
cp arch/x86/boot/bzImage "$out/vmlinuz-minimal"
cp .config "$out/kernel.config"
cd "$out" && rm -rf "$tree"
echo "$made_from" >"$out/kernel.made-from"
