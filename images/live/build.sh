#!/bin/bash
# Builds all of the live system but Hanok's own program: Debian's kernel, and an initramfs with busybox, drivers and
# the tools that know disks.
#   build.sh OUT      makes the directory OUT with kernel, base (cpio, zstd) and cmdline
# Nothing is mounted and nothing is installed into the image: packages are only downloaded and unpacked. The same
# packages give the same bytes.
# needs: apt cpio kmod zstd binutils systemd-boot-efi
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
export LC_ALL=C TZ=UTC

[ $# = 1 ] || { echo "usage: build.sh OUT" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(realpath -m "$1")
say() { echo "live: $*" >&2; }
die() { say "$*"; exit 1; }

say "checking tools"
missing=
need() { command -v "$2" >/dev/null || [ -e "$2" ] || missing="$missing $1"; }
need cpio cpio; need kmod depmod; need zstd zstd; need binutils objcopy
need systemd-boot-efi /usr/lib/systemd/boot/efi/linuxx64.efi.stub
command -v apt-get >/dev/null || die "needs a Debian host (apt-get)"
if [ -n "$missing" ]; then
  say "installing$missing"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2 ||
    die "could not install; please install:$missing"
fi

work=$(mktemp -d)
partial=$out.part.$$
trap 'rm -rf "$work" "$partial"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
cd "$work"

say "downloading packages"
kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || die "apt knows no linux-image-amd64; add a Debian mirror and run apt-get update"
packages="busybox-static kmod dropbear-bin util-linux fdisk e2fsprogs xfsprogs btrfs-progs dosfstools
  smartmontools hdparm nvme-cli efibootmgr ipmitool lvm2 dmsetup mdadm pci.ids"
# shellcheck disable=SC2086
libraries=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances $packages |
  grep -E '^(lib|zlib1g)' | grep -vE '^lib(perl|python|icu)' | sort -u)
# Firmware of network cards and controllers, where apt's sources have it (non-free-firmware).
firmware=
for name in firmware-realtek firmware-bnx2 firmware-bnx2x firmware-qlogic firmware-misc-nonfree; do
  if apt-cache policy $name 2>/dev/null | grep -q 'Candidate: [0-9]'; then firmware="$firmware $name"; fi
done
[ -n "$firmware" ] || say "apt's sources have no non-free firmware: some network cards (bnx2, bnx2x, qed) will not start"
mkdir debs pkg kernel
# shellcheck disable=SC2086
(cd debs && apt-get download -q -o APT::Sandbox::User=root -o Acquire::Retries=5 -o Acquire::http::Timeout=20 $kernel $packages $libraries $firmware >/dev/null) || die "download failed"
for deb in debs/*.deb; do
  case $deb in debs/linux-image-*) dpkg -x "$deb" kernel ;; *) dpkg -x "$deb" pkg ;; esac
done
rm -rf debs
version=$(ls kernel/lib/modules)
modules=kernel/lib/modules/$version

say "drivers of kernel $version"
mkdir -p root/{bin,dev,proc,sys,run,tmp,mnt,root,etc/dropbear,usr/lib,var/lib,var/log,lib/x86_64-linux-gnu}
chmod 700 root/root
depmod -b kernel "$version"
ln -s bin root/sbin; ln -s ../bin root/usr/bin; ln -s ../bin root/usr/sbin; ln -s ../run root/var/run
ln -s ../lib root/usr/lib/lib; rmdir root/usr/lib 2>/dev/null || { rm root/usr/lib/lib; rmdir root/usr/lib; ln -s ../lib root/usr/lib; }
ln -s lib root/lib64
ln -s x86_64-linux-gnu/ld-linux-x86-64.so.2 root/lib/ld-linux-x86-64.so.2
target=root/lib/modules/$version
mkdir -p "$target"
cp "$modules"/modules.{builtin,builtin.modinfo,order} "$target/"
# The files of the list, and those that they need.
sed 's/#.*//' "$here/modules" | tr -s ' ' '\n' | grep . > wanted
while read -r name; do
  case $name in
    */) sed -n "s#^\(kernel/$name[^:]*\):.*#\1#p" "$modules/modules.dep" ;;
    *) file=$(grep -oE "^[^:]*/$(sed 's/[-_]/[-_]/g' <<<"$name")\.ko:" "$modules/modules.dep" | head -n 1) || true
       if [ -n "$file" ]; then echo "${file%:}"
       elif ! grep -qE "/$(sed 's/[-_]/[-_]/g' <<<"$name")\.ko" "$modules/modules.builtin"; then say "this kernel has no $name"; fi ;;
  esac
done < wanted | sort -u > chosen
# Old parallel-ATA and wireless-like folders bring drivers that no 64-bit PC has.
grep -vE '/pata_(isapnp|legacy|platform|pcmcia)|/(mlxsw|prestera|octeon)' chosen > kept
awk -F': *' 'NR == FNR { want[$1]; next } $1 in want { print $1; n = split($2, d, " "); for (i = 1; i <= n; i++) print d[i] }' \
  kept "$modules/modules.dep" | sort -u > files
# Without type information and debug symbols a module loads several times faster in an emulated CPU; the kernel takes it
# (it only notes that the signature is gone).
while read -r file; do
  mkdir -p "$target/${file%/*}"
  objcopy --strip-debug -R .BTF "$modules/$file" "$target/$file"
done < files
depmod -b root "$version"
rm -f "$target"/modules.{alias,dep,symbols,builtin,order,builtin.modinfo}
if [ -n "$firmware" ]; then
  while read -r file; do modinfo -F firmware "$target/$file" 2>/dev/null || true; done < files | sort -u | while read -r name; do
    [ -e "pkg/lib/firmware/$name" ] || continue
    mkdir -p "root/lib/firmware/$(dirname "$name")"
    cp -L "pkg/lib/firmware/$name" "root/lib/firmware/$name"
  done
fi

say "programs"
cp pkg/bin/busybox root/bin/busybox
library() { find pkg -name "$1" \( -type f -o -type l \) -print -quit; }
libs_of() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
program() { find pkg -path "*bin/$1" \( -type f -o -type l \) -print -quit; }
add_libs() {
  local lib file
  for lib in $(libs_of "$1"); do
    [ -e "root/lib/x86_64-linux-gnu/$lib" ] && continue
    file=$(library "$lib")
    [ -n "$file" ] || die "no package has $lib, which $1 needs"
    cp -L "$file" "root/lib/x86_64-linux-gnu/$lib"
    add_libs "root/lib/x86_64-linux-gnu/$lib"
  done
}
for name in kmod dropbear dropbearkey blkid lsblk sfdisk wipefs blkdiscard partx mke2fs e2fsck resize2fs tune2fs \
    mkfs.xfs xfs_repair mkfs.btrfs btrfs mkfs.fat smartctl hdparm nvme efibootmgr ipmitool lvm dmsetup mdadm; do
  cp -L "$(program "$name")" "root/bin/$name"
  add_libs "root/bin/$name"
done
# What Hanok's own program needs beside them, and xfs_growfs, which is a script around xfs_io in later releases.
for name in xfs_growfs xfs_io; do cp -L "$(program $name)" "root/bin/$name" && add_libs "root/bin/$name"; done
for lib in libc.so.6 libm.so.6 libgcc_s.so.1 ld-linux-x86-64.so.2; do
  cp -L "$(library $lib)" "root/lib/x86_64-linux-gnu/$lib"
done
for name in modprobe insmod rmmod lsmod depmod modinfo; do ln -s kmod "root/bin/$name"; done
for name in vgchange vgs pvs lvs pvscan; do ln -s lvm "root/bin/$name"; done
ln -s mke2fs root/bin/mkfs.ext4; ln -s mkfs.fat root/bin/mkfs.vfat
for applet in $(root/bin/busybox --list); do [ -e "root/bin/$applet" ] || ln -s busybox "root/bin/$applet"; done
mkdir -p root/usr/share/misc
cp "$(find pkg -name pci.ids -type f -print -quit)" root/usr/share/misc/pci.ids
cp pkg/etc/mke2fs.conf root/etc/

install -m 755 "$here/rc" root/etc/rc
install -m 755 "$here/coldplug" root/bin/coldplug
install -m 755 "$here/hotplug" root/etc/hotplug
install -m 755 "$here/udhcpc.sh" root/etc/udhcpc.sh
install -m 644 "$here/inittab" root/etc/inittab
ln -s bin/busybox root/init
ln -s ../run/resolv.conf root/etc/resolv.conf; ln -s ../proc/mounts root/etc/mtab
printf 'root:x:0:0:root:/root:/bin/sh\n' > root/etc/passwd
printf 'root:*:19000:0:99999:7:::\n' > root/etc/shadow
printf 'root:x:0:\ntty:x:5:\n' > root/etc/group
printf 'passwd: files\n' > root/etc/nsswitch.conf
printf '127.0.0.1 localhost\n::1 localhost\n' > root/etc/hosts
echo /bin/sh > root/etc/shells
echo live > root/etc/hostname
printf 'NAME="Hanok live"\nID=hanok-live\nPRETTY_NAME="Hanok live system"\n' > root/etc/os-release
chmod 600 root/etc/shadow

say "packing"
mkdir -p "$partial"
cp "kernel/boot/vmlinuz-$version" "$partial/kernel"
find root -exec touch -h -d @0 {} +
(cd root && find . | sort | cpio -o -H newc --quiet --reproducible --owner=0:0) | zstd -q -15 > "$partial/base"
# The live system runs no stranger's code: what guards against that only costs time here.
printf 'console=tty0 console=ttyS0,115200 quiet loglevel=4 mitigations=off cryptomgr.notests random.trust_cpu=on edd=off\n' > "$partial/cmdline"
rm -rf "$out"
mv "$partial" "$out"
say "done: kernel $(($(stat -c %s "$out/kernel") >> 20)) MB, base $(($(stat -c %s "$out/base") >> 20)) MB"
