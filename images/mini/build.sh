#!/bin/bash
# Builds `mini`, the small test guest: Debian's cloud kernel, busybox, dropbear.
#   build.sh OUT.qcow2 [WORKDIR]
# Disk: MBR; partition 1 FAT (syslinux for BIOS, systemd-boot for UEFI, one kernel for both),
# partition 2 ext4 root, last so that it can grow.  Nothing is mounted and no kernel is installed:
# packages are only downloaded and unpacked.
# A root on disk and not in memory: a snapshot keeps what was written, and 64 MB are enough.
# needs: apt mtools syslinux syslinux-common fdisk qemu-utils lz4 cpio kmod e2fsprogs binutils systemd-boot-efi python3-minimal
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
export LC_ALL=C

[ $# -ge 1 ] || { echo "usage: build.sh OUT.qcow2 [WORKDIR]" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(realpath -m "$1")
say() { echo "mini: $*" >&2; }
die() { say "$*"; exit 1; }

# mini must contain files of root (one of them setuid).
[ "$(id -u)" = 0 ] || die "must run as root (nothing outside of the work directory is changed)"

say "checking tools"
missing=
need() { command -v "$2" >/dev/null || [ -e "$2" ] || missing="$missing $1"; }
need mtools mcopy; need syslinux syslinux; need syslinux-common /usr/lib/syslinux/mbr/mbr.bin
need fdisk sfdisk; need qemu-utils qemu-img; need lz4 lz4; need cpio cpio; need kmod depmod
need e2fsprogs mke2fs; need binutils objcopy; need python3-minimal python3
need systemd-boot-efi /usr/lib/systemd/boot/efi/systemd-bootx64.efi
command -v apt-get >/dev/null || die "needs a Debian host (apt-get)"
if [ -n "$missing" ]; then
  say "installing$missing"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2 ||
    die "could not install; please install:$missing"
fi

# Everything of ours lives in one directory of its own, also inside a given WORKDIR.
if [ $# -ge 2 ]; then mkdir -p "$2"; work=$(mktemp -d "$(realpath "$2")/mini.XXXXXX"); else work=$(mktemp -d); fi
partial=$out.part.$$
trap 'rm -rf "$work" "$partial"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
cd "$work"

say "downloading packages"
kernel=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || die "apt knows no linux-image-cloud-amd64; add a Debian mirror and run apt-get update"
programs="busybox-static dropbear-bin e2fsprogs util-linux"
# shellcheck disable=SC2086
libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $programs |
  grep -E '^(lib|zlib1g)' | sort -u)
mkdir debs pkg kernel
# shellcheck disable=SC2086
(cd debs && apt-get download -q -o APT::Sandbox::User=root -o Acquire::Retries=5 -o Acquire::http::Timeout=20 $kernel $programs $libraries >/dev/null) || die "download failed"
for deb in debs/*.deb; do
  case $deb in debs/linux-image-*) dpkg -x "$deb" kernel ;; *) dpkg -x "$deb" pkg ;; esac
done
rm -rf debs
version=$(ls kernel/lib/modules)
modules=kernel/lib/modules/$version

say "kernel $version"
if ! python3 "$here/shrink-kernel.py" "kernel/boot/vmlinuz-$version" vmlinuz; then
  say "kernel is used as it is: 64 MB will not be enough, 80 MB will"
  cp "kernel/boot/vmlinuz-$version" vmlinuz
fi

# A module without signature and type information loads several times faster in an emulated CPU;
# the kernel accepts it (it only notes the missing signature).
slim() { objcopy --strip-debug -R .BTF "$1" "$2"; }
# the modules that are named, after those that they need
depmod -b kernel "$version"
ordered() {
  local name line dependency
  for name; do
    line=$(grep -E "/$name\.ko:" "$modules/modules.dep") || continue
    for dependency in $(tr ' ' '\n' <<<"${line#*:}" | tac) "${line%%:*}"; do echo "$dependency"; done
  done | awk '!seen[$0]++'
}

say "initramfs"
mkdir -p early/{bin,dev,proc,sys,root}
cp pkg/bin/busybox early/bin/busybox
for applet in sh mount insmod usleep cat printf dd blockdev switch_root setsid cttyhack echo; do ln -s busybox early/bin/$applet; done
install -m 755 "$here/init" early/init
for file in $(ordered virtio_pci virtio_blk); do
  slim "$modules/$file" "early/${file##*/}"
  echo "${file##*/}" >> early/modules
done
# gzip: unpacks in little memory; the kernel's lz4 asks for 8 MB, which a 64 MB guest does not have then
(cd early && find . | sort | cpio -o -H newc --quiet --reproducible --owner=0:0 | gzip -9 -n) > initrd

say "root file system"
mkdir -p root/{bin,dev,proc,sys,run,tmp,mnt,root,home/mini,lib64,usr/lib,usr/share,var/lib/mini,var/log,etc/dropbear,etc/acpi/PWRF,lib/x86_64-linux-gnu,lib/mini}
ln -s bin root/sbin
ln -s ../bin root/usr/bin; ln -s ../bin root/usr/sbin
ln -s ../run root/var/run; ln -s ../run/resolv.conf root/etc/resolv.conf; ln -s ../proc/mounts root/etc/mtab
# Setuid: it keeps root's rights for ping and su and gives them away for everything else.
install -m 4755 pkg/bin/busybox root/bin/busybox
for applet in $(root/bin/busybox --list); do [ -e "root/bin/$applet" ] || ln -s busybox "root/bin/$applet"; done
rm -f root/bin/{poweroff,reboot,halt,su,blkid,mke2fs}
ln -s ../../bin/busybox root/lib/mini/su
ln -s ../lib/mini/su root/bin/su

library() { find pkg -name "$1" \( -type f -o -type l \) -print -quit; }
libs_of() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
program() { find pkg -path "*bin/$1" \( -type f -o -type l \) -print -quit; }
add_libs() {
  local lib
  for lib in $(libs_of "$1"); do
    [ -e "root/lib/x86_64-linux-gnu/$lib" ] && continue
    cp -L "$(library "$lib")" "root/lib/x86_64-linux-gnu/$lib"
    add_libs "root/lib/x86_64-linux-gnu/$lib"
  done
}
for name in dropbear dropbearkey dbclient mke2fs resize2fs e2fsck blkid lsblk lscpu; do
  cp -L "$(program $name)" "root/bin/$name"
  add_libs "root/bin/$name"
done
ln -s mke2fs root/bin/mkfs.ext4; ln -s mke2fs root/bin/mkfs.ext3; ln -s dbclient root/bin/ssh
ln -sf mke2fs root/bin/mkfs.ext2; ln -sf e2fsck root/bin/fsck.ext4
ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 root/lib64/
cp pkg/etc/mke2fs.conf root/etc/

# boot drivers in order, and the rest for modprobe and the kernel's own requests
: > root/etc/modules.boot
mkdir -p "root/lib/modules/$version"
cp "$modules"/modules.{builtin,builtin.modinfo,order} "root/lib/modules/$version/"
for file in $(ordered virtio_net button evdev virtio-rng virtio_console virtio_balloon); do
  case $file in */virtio.ko|*/virtio_ring.ko) ;; *) echo "/lib/modules/$version/$file" >> root/etc/modules.boot ;; esac
done
for file in $(ordered virtio_pci virtio_blk virtio_net button evdev virtio-rng virtio_console virtio_balloon virtio_scsi \
    virtio_input virtiofs sd_mod sr_mod nvme isofs vfat nls_cp437 nls_ascii nls_utf8 nls_iso8859-1 loop 8021q tun veth bridge \
    macvlan dummy vxlan bonding vmw_vsock_virtio_transport overlay nfsv4); do
  mkdir -p "root/lib/modules/$version/${file%/*}"
  slim "$modules/$file" "root/lib/modules/$version/$file"
done
depmod -b root "$version"

cd root
install -m 755 "$here/rc" etc/rc
install -m 755 "$here/meta" etc/meta
install -m 755 "$here/udhcpc.sh" etc/udhcpc.sh
install -m 644 "$here/json.awk" etc/json.awk
cat > etc/inittab <<'F'
::sysinit:/etc/rc
ttyS0::respawn:-/bin/sh
::respawn:/bin/uevent /etc/hotplug
::ctrlaltdel:/bin/reboot
F
# A card: configured until the end of days.  -b: go to the background if nobody answers, and try on.
cat > etc/nic <<'F'
#!/bin/sh
exec udhcpc -b -i "$1" -p "/run/udhcpc.$1.pid" -s /etc/udhcpc.sh -t 5 -T 1 -A 5 -O mtu -O staticroutes -O search > /dev/null 2>&1
F
# Called for each event of the kernel; only new cards are of interest.
cat > etc/hotplug <<'F'
#!/bin/sh
export PATH=/bin
[ "$ACTION $SUBSYSTEM" = "add net" ] || exit 0
case $INTERFACE in eth*) [ -e "/run/udhcpc.$INTERFACE.pid" ] && kill "$(cat "/run/udhcpc.$INTERFACE.pid")"; /etc/nic "$INTERFACE" & ;; esac
F
# poweroff, reboot, halt: init's own way takes seconds of sleeping.
cat > lib/mini/stop <<'F'
#!/bin/sh
[ "$(id -u)" = 0 ] || exec sudo "$0" "$@"
what=${0##*/}
trap '' TERM HUP PIPE
echo "mini: $what" > /dev/console
kill -TERM -1; usleep 200000; kill -KILL -1
sync
mount -o remount,ro / 2>/dev/null
exec /bin/busybox "$what" -f
F
printf '#!/bin/sh\nexec /bin/poweroff\n' > etc/acpi/PWRF/00000080
# `su` may become an account with user id 0 and no password; nobody can log in as that: dropbear
# refuses empty passwords.
cat > bin/sudo <<'F'
#!/bin/sh
user=toor
while [ $# -gt 0 ]; do
  case $1 in
    -u) user=$2; shift ;;
    -g|-p|-C|-h) shift ;;
    --) shift; break ;;
    -i|-s) ;;
    -*) ;;
    [A-Za-z_]*=*) export "$1" ;;
    *) break ;;
  esac
  shift
done
[ "$user" = root ] && user=toor
[ $# -gt 0 ] || set -- /bin/sh
# by path: the shell would take its built-in poweroff and reboot and not ours
if [ -x "/bin/$1" ]; then command=/bin/$1; shift; set -- "$command" "$@"; fi
if [ "$(id -u)" = 0 ] && [ $user = toor ]; then exec "$@"; fi
# only root may become somebody with a password
if [ "$(id -u)" != 0 ] && [ $user != toor ]; then set -- /bin/sudo -u $user "$@"; user=toor; fi
exec /lib/mini/su -s /bin/sh -c 'exec "$@"' -- $user sudo "$@"
F
# Enough of curl for scripts that read metadata.
cat > bin/curl <<'F'
#!/bin/sh
out=- quiet= wait=60 url= data=
while [ $# -gt 0 ]; do
  case $1 in
    -o|--output) out=$2; shift ;;
    -d|--data) data=$2; shift ;;
    -X|--request) shift ;;
    -m|--max-time|--connect-timeout) wait=$2; shift ;;
    --*) ;;
    -*) ;;
    *) url=$1 ;;
  esac
  shift
done
[ -z "$data" ] || exec timeout "$wait" wget -q -O "$out" --post-data "$data" "$url"
exec timeout "$wait" wget -q -O "$out" "$url"
F
# Scripts that ask for bash get what there is.
printf '#!/bin/sh\nexec /bin/sh "$@"\n' > bin/bash
chmod 755 etc/nic etc/hotplug lib/mini/stop etc/acpi/PWRF/00000080 bin/sudo bin/curl bin/bash
for name in poweroff reboot halt; do ln -s ../lib/mini/stop bin/$name; done

printf 'root:x:0:0:root:/root:/bin/sh\nmini:x:1000:1000:mini:/home/mini:/bin/sh\ntoor:x:0:0:sudo:/root:/bin/sh\n' > etc/passwd
printf 'root:*:19000:0:99999:7:::\nmini:*:19000:0:99999:7:::\ntoor::19000:0:99999:7:::\n' > etc/shadow
printf 'root:x:0:\ntty:x:5:\nmini:x:1000:\n' > etc/group
chmod 600 etc/shadow
chown 1000:1000 home/mini
chmod 700 root
chmod 1777 tmp
echo /bin/sh > etc/shells
echo mini > etc/hostname
printf '127.0.0.1 localhost mini\n::1 localhost\n' > etc/hosts
printf 'NAME=mini\nID=mini\nPRETTY_NAME="mini (test guest)"\nVERSION_ID=1\n' > etc/os-release
echo 'export PATH=/bin:/usr/bin:/sbin:/usr/sbin; if [ "$(id -u)" = 0 ]; then PS1="mini# "; else PS1="mini$ "; fi; export ENV=/etc/shrc; [ "$(tty)" = /dev/ttyS0 ] && cd /root' > etc/profile
# busybox prefers its own commands to files; these are the ones where the file is better
for name in poweroff reboot halt mke2fs su; do echo "alias $name=/bin/$name"; done > etc/shrc
cd ..

say "disk"
boot=24 root=40 # MB
rm -f root.ext4 disk.raw
truncate -s ${root}M root.ext4
mke2fs -q -t ext4 -b 4096 -L mini-root -m 0 -E lazy_itable_init=1,nodiscard,root_owner=0:0 -d root root.ext4
truncate -s $((1 + boot + root))M disk.raw
printf 'label: dos\nlabel-id: 0x6d696e69\nstart=2048, size=%d, type=ef, bootable\nstart=%d, type=83\n' $((boot * 2048)) $(((1 + boot) * 2048)) | sfdisk -q disk.raw
dd if=root.ext4 of=disk.raw bs=1M seek=$((1 + boot)) conv=notrunc,sparse status=none
# nokaslr: see shrink-kernel.py.  The next ones save memory in a guest of 64 MB: tracefs (9 MB) and the
# accounting of kernel memory per cgroup (4 MB).  The rest saves time in an emulated CPU, and there is
# nothing to protect in a test guest.
flags="console=ttyS0 loglevel=6 nokaslr"
flags="$flags initcall_blacklist=tracer_init_tracefs,init_kprobe_trace cgroup.memory=nokmem"
flags="$flags edd=off mitigations=off no_timer_check cryptomgr.notests random.trust_cpu=on"
export MTOOLS_SKIP_CHECK=1
fat=disk.raw@@1M
mformat -i $fat -T $((boot * 2048)) -h 64 -s 32 -H 2048 -c 16 -v MINIBOOT ::
# the two big files first and in one piece
mcopy -i $fat vmlinuz initrd ::
printf 'default mini\nprompt 0\ntimeout 0\nlabel mini\n kernel vmlinuz\n append initrd=initrd %s\n' "$flags" > syslinux.cfg
mcopy -i $fat syslinux.cfg ::
mmd -i $fat ::EFI ::EFI/BOOT ::loader ::loader/entries
mcopy -i $fat /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::EFI/BOOT/BOOTX64.EFI
printf 'timeout 0\ndefault mini\neditor no\n' > loader.conf
printf 'title mini\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$flags" > mini.conf
mcopy -i $fat loader.conf ::loader/loader.conf
mcopy -i $fat mini.conf ::loader/entries/mini.conf
syslinux -t 1048576 -i disk.raw
dd if=/usr/lib/syslinux/mbr/mbr.bin of=disk.raw conv=notrunc bs=440 count=1 status=none

say "writing $out"
mkdir -p "$(dirname "$out")"
qemu-img convert -c -O qcow2 disk.raw "$partial"
mv "$partial" "$out"
say "done: $(($(stat -c %s "$out") >> 10)) KB"
