#!/bin/sh
# Makes a Linux guest: a stock kernel, its modules, and an initramfs with a workload.
#
#   vmm/guest/build.sh [--build-kernel] [DIRECTORY]        (default: target/guest)
#
# Everything comes from packages of Debian's (linux-image-cloud-amd64, busybox-static), which are downloaded and
# unpacked, not installed: no root needed. What is there already is not made again.
#
# With --build-kernel there is also a kernel without modules, compiled of Debian's linux-source: `vmlinuz-minimal` and
# `vmlinux-minimal`; see `build-kernel.sh` for what that takes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
builds_kernel=no
if [ "${1:-}" = --build-kernel ]; then
    builds_kernel=yes
    shift
fi
out=${1:-$here/../../target/guest}
mkdir -p "$out/packages"
out=$(cd "$out" && pwd)

# Unpacks a package into a directory of that name.
fetch() {
    [ -d "$out/packages/$1" ] && return
    partial="$out/packages/$1.partial"
    rm -rf "$partial" && mkdir "$partial"
    (cd "$partial" && apt-get download -qq -o APT::Sandbox::User=root "$1" >/dev/null)
    dpkg-deb -x "$partial"/*.deb "$partial"
    rm "$partial"/*.deb
    mv "$partial" "$out/packages/$1"
}

# A package of that name only says which version is the newest: prints that package's name.
newest() {
    apt-cache depends "$1" 2>/dev/null | sed -n 's/.*Depends: \(linux-[a-z]*-[0-9].*\)/\1/p' | head -1
}
find_newest() {
    found=$(newest "$1")
    if [ -z "$found" ] && [ "$(id -u)" = 0 ]; then
        apt-get update -qq >&2
        found=$(newest "$1")
    fi
    [ -n "$found" ] || { echo "no $1 in the package lists; run apt-get update" >&2; exit 1; }
    echo "$found"
}
kernel=$(find_newest linux-image-cloud-amd64)
fetch "$kernel"
fetch busybox-static
cp "$out/packages/$kernel"/boot/vmlinuz-* "$out/vmlinuz"
cp "$out/packages/busybox-static/bin/busybox" "$out/busybox"

# For the guest: its disk's driver. For the machine around it, where there is one: KVM.
modules="$out/packages/$kernel/lib/modules"
mkdir -p "$out/modules"
for module in virtio virtio_ring virtio_mmio virtio_blk irqbypass ccp kvm kvm-amd; do
    find "$modules" -name "$module.ko" -exec cp {} "$out/modules/" \;
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/modules"
cp "$out/busybox" "$root/bin/busybox"
cp "$here/init" "$root/init"
chmod +x "$root/init"
for module in virtio_ring virtio virtio_mmio virtio_blk; do
    [ -f "$out/modules/$module.ko" ] && cp "$out/modules/$module.ko" "$root/modules/"
done
(cd "$root" && find . | "$out/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$out/initramfs.partial"
mv "$out/initramfs.partial" "$out/initramfs"

if [ "$builds_kernel" = yes ]; then
    source=$(find_newest linux-source)
    fetch "$source"
    "$here/build-kernel.sh" "$out/packages/$source/usr/src/$source.tar.xz" "$out"
fi
