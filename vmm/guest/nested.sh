#!/bin/sh
# Runs the VMM in a machine that QEMU emulates, processor and all: for hosts whose own KVM cannot boot Linux.
#
#   vmm/guest/nested.sh VMM GUEST OUTPUT [DISKS] <RUNS
#
# QEMU emulates a processor with AMD's SVM; a stock kernel in it loads kvm-amd and has a real /dev/kvm. GUEST is what
# `build.sh` made; inside it is /guest. Each line of RUNS is a name, a time limit in seconds, and arguments for the
# VMM. For each, OUTPUT gets NAME.out (what the VMM said) and NAME.code (its exit code), and at the end all slabs.
# What is in the directory DISKS is in /disks there; `disks.md5` gets the sums of it after the last run.
set -eu
vmm=$(readlink -f "$1") guest=$(readlink -f "$2") out=$3 disks=${4:-}
mkdir -p "$out"
out=$(readlink -f "$out")

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/out" "$root/guest"
cp "$guest/busybox" "$root/bin/"
cp "$guest/initramfs" "$root/guest/"
# The stock one, and those that were compiled.
cp "$guest"/vmlinu* "$root/guest/"
cp -r "$guest/modules" "$root/modules"
cp "$vmm" "$root/vmm"
mkdir "$root/disks"
[ -z "$disks" ] || cp "$disks"/* "$root/disks/"
# And the libraries that it is linked with.
ldd "$vmm" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
cat >"$root/runs"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mkdir /dev/shm/rondo
for module in irqbypass ccp kvm kvm-amd; do
    [ -f /modules/$module.ko ] && insmod /modules/$module.ko
done
while read -r name limit arguments; do
    code=0
    # Not to this console, each of whose bytes the emulator has to handle.
    eval "timeout $limit /vmm --instance $name $arguments" >"/out/$name.out" 2>&1 </dev/null || code=$?
    echo "$code" >"/out/$name.code"
done </runs
mv /dev/shm/rondo/*.slab /out
cd /disks && md5sum * >/out/disks.md5 2>/dev/null
cd /out
echo BEGIN-OUTPUT
tar -czf - . | base64
echo END-OUTPUT
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | "$guest/busybox" cpio -o -H newc 2>/dev/null) >"$out/outer.cpio"

# The processor's wider registers are left out: nested, they only make the kernel complain.
timeout "${LIMIT:-180}" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu max,-xsave,-avx,-avx2,-pku -smp 2 -m 2048 \
    -nographic -no-reboot -net none -kernel "$guest/vmlinuz" -initrd "$out/outer.cpio" \
    -append "console=ttyS0 panic=-1 quiet tsc=reliable" </dev/null >"$out/console" 2>&1 || true
rm "$out/outer.cpio"
tr -d '\r' <"$out/console" | sed -n '/^BEGIN-OUTPUT$/,/^END-OUTPUT$/{//!p}' | base64 -d | tar -xzf - -C "$out" ||
    { echo "the outer machine did not come to its end; its console is $out/console" >&2; exit 1; }
