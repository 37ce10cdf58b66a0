#!/bin/sh
# Runs the VMM in a machine that QEMU emulates, processor and all: for hosts whose own KVM cannot boot Linux.
#
#   vmm/guest/nested.sh VMM GUEST OUTPUT [DISKS] <RUNS
#
# QEMU emulates a processor with AMD's SVM; a stock kernel in it loads kvm-amd and has a real /dev/kvm. GUEST is what
# `build.sh` made; inside it is /guest. Each line of RUNS is a name, a time limit in seconds, and arguments for the
# VMM. For each, OUTPUT gets NAME.out (what the VMM said) and NAME.code (its exit code), and at the end all slabs.
# What is in the directory DISKS is in /disks there; `disks.md5` gets the sums of it after the last run.
#
# With the program RONDO in the environment, that is there too, and does the runs in place of the VMM; what it says is
# shown as it comes, and what it puts into the directory /out is in OUTPUT at the end.
set -eu
vmm=$(readlink -f "$1") guest=$(readlink -f "$2") out=$3 shown=$3 disks=${4:-}
mkdir -p "$out"
out=$(readlink -f "$out")

root=$(mktemp -d)
trap 'rm -rf "$root" "$out/outer.cpio"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/out" "$root/guest"
cp "$guest/busybox" "$root/bin/"
cp "$guest/initramfs" "$root/guest/"
# The stock one, and those that were compiled.
cp "$guest"/vmlinu* "$root/guest/"
cp -r "$guest/modules" "$root/modules"
mkdir "$root/disks" "$root/tmp"
[ -z "$disks" ] || cp "$disks"/* "$root/disks/"
for program in "$vmm" ${RONDO:+"$RONDO"}; do
    cp "$program" "$root/"
    # And the libraries that it is linked with.
    ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
done
echo "vmm=/$(basename "$vmm") rondo=${RONDO:+/$(basename "$RONDO")}" >"$root/programs"
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
# A program of its own may want a network.
ifconfig lo 127.0.0.1 up
. /programs
while read -r name limit arguments; do
    code=0
    if [ -n "$rondo" ]; then
        # No progress bar, and what somebody waits for comes to this console.
        eval "TERM=dumb timeout $limit $rondo $arguments" 2>&1 </dev/null || code=$?
    else
        # Not to this console, each of whose bytes the emulator has to handle.
        eval "timeout $limit $vmm --instance $name $arguments" >"/out/$name.out" 2>&1 </dev/null || code=$?
    fi
    echo "$code" >"/out/$name.code"
done </runs
mv /dev/shm/rondo/*.slab /out 2>/dev/null
cd /disks && md5sum * >/out/disks.md5 2>/dev/null
cd /out
# On a line of its own, also after what firmware left without an end.
echo
echo BEGIN-OUTPUT
tar -czf - . | base64
echo END-OUTPUT
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | "$guest/busybox" cpio -o -H newc 2>/dev/null) >"$out/outer.cpio"

# Keeps what the machine says, and shows it if somebody waits for it: without the files that it sends, what firmware does to
# terminals and an address that only it can reach; and with the paths that its files will have here.
show() {
    if [ -n "${RONDO:-}" ]; then
        tee "$out/console" | sed -u -e 's/\r//g' -e '/^BEGIN-OUTPUT$/,/^END-OUTPUT$/d' \
            -e 's/\x1b\[[?0-9;=]*[a-zA-Z]//g; s/\x1bc//g' -e '/^while the machines live/d' -e "s|/out/|$shown/|g"
    else
        cat >"$out/console"
    fi
}

# The processor's wider registers are left out: nested, they only make the kernel complain. In the foreground, so that
# Ctrl-C reaches it.
timeout --foreground "${LIMIT:-180}" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu max,-xsave,-avx,-avx2,-pku -smp 2 -m 2048 \
    -nographic -no-reboot -net none -kernel "$guest/vmlinuz" -initrd "$out/outer.cpio" \
    -append "console=ttyS0 panic=-1 loglevel=1 edd=off tsc=reliable" </dev/null 2>&1 | show || true
tr -d '\r' <"$out/console" | sed -n '/^BEGIN-OUTPUT$/,/^END-OUTPUT$/{//!p}' | base64 -d | tar -xzf - -C "$out" ||
    { echo "the outer machine did not come to its end; its console is $out/console" >&2; exit 1; }
