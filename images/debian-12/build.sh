#!/bin/bash
# Builds a Debian 12 cloud image from Debian packages only: systemd, systemd-networkd, cloud-init.
#   build.sh OUT.qcow2 [WORKDIR]
# With ROLE=host it is for computers that become hosts: Debian's kernel with the drivers of real hardware, and the
# packages that a host needs, so that it gets by without a mirror.
# Disk: GPT; partition 15 FAT with kernel and initrd (syslinux for BIOS, systemd-boot for UEFI),
# partition 1 the ext4 root, last on the disk so that cloud-init's growpart can grow it.
# Packages come from the mirrors that apt on this host is configured with.
# needs: apt mmdebstrap debian-archive-keyring mtools syslinux syslinux-common fdisk qemu-utils e2fsprogs systemd-boot-efi
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
export LC_ALL=C

[ $# -ge 1 ] || { echo "usage: build.sh OUT.qcow2 [WORKDIR]" >&2; exit 2; }
release=bookworm
out=$(realpath -m "$1")
say() { echo "debian-12: $*" >&2; }
die() { say "$*"; exit 1; }
[ "$(id -u)" = 0 ] || die "must run as root (package scripts run in a chroot)"

say "checking tools"
missing=
need() { command -v "$2" >/dev/null || [ -e "$2" ] || missing="$missing $1"; }
need mmdebstrap mmdebstrap; need debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
need mtools mcopy; need syslinux syslinux; need syslinux-common /usr/lib/syslinux/mbr/gptmbr.bin
need fdisk sfdisk; need qemu-utils qemu-img; need e2fsprogs mke2fs
need systemd-boot-efi /usr/lib/systemd/boot/efi/systemd-bootx64.efi
command -v apt-get >/dev/null || die "needs a Debian host (apt-get)"
if [ -n "$missing" ]; then
  say "installing$missing"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >&2 ||
    die "could not install; please install:$missing"
fi

if [ $# -ge 2 ]; then mkdir -p "$2"; work=$(mktemp -d "$(realpath "$2")/debian.XXXXXX"); else work=$(mktemp -d); fi
partial=$out.part.$$
trap 'rm -rf --one-file-system "$work" "$partial"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
cd "$work"

# The host's mirrors: those that carry this release; else (host runs another release) its main archive.
apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 2>/dev/null | sort -u > targets
keys='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
awk -v keys="$keys" -v r=$release '$2 ~ "^" r "(-updates|-security)?$" {print "deb", keys, $1, $2, "main"}' targets > sources
if ! grep -q " $release main" sources; then
  archive=$(awk '$1 ~ /\/debian\/?$/ {print $1; exit}' targets)
  [ -n "$archive" ] || die "apt on this host knows no Debian mirror"
  printf 'deb %s %s %s main\n' "$keys" "$archive" $release "$keys" "$archive" $release-updates > sources
fi

say "packages (takes a minute or two)"
kernel=linux-image-cloud-amd64 host=
if [ "${ROLE:-}" = host ]; then
  kernel=linux-image-amd64
  host=,qemu-system-x86,qemu-utils,seabios,ipxe-qemu,genisoimage,nftables,conntrack
fi
packages=$kernel,initramfs-tools,zstd,systemd-sysv,systemd-resolved,libpam-systemd,dbus,udev,kmod
packages=$packages,cloud-init,cloud-guest-utils,qemu-guest-agent,openssh-server,sudo,ca-certificates,e2fsprogs,dosfstools,fdisk
packages=$packages,iproute2,iputils-ping,netcat-openbsd,netbase,procps,less,curl,vim-tiny,nano,bash-completion$host
# How initrds are made is there before the kernel: Debian's own way takes several times as long, and is used twice on the way.
initrds='mkdir -p "$1/etc/initramfs-tools/conf.d"
  printf "MODULES=list\nCOMPRESS=zstd\n" > "$1/etc/initramfs-tools/conf.d/cloud.conf"'
mmdebstrap --quiet --variant=apt --mode=root --format=directory --essential-hook="$initrds" \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-include=/usr/share/locale/locale.alias' \
  --include="$packages" $release root sources >&2
trap 'umount -q "$work/root/proc" "$work/root/dev" 2>/dev/null || true; rm -rf --one-file-system "$work" "$partial"' EXIT

say "configuration"
cd root
cat > etc/apt/sources.list <<F
deb http://deb.debian.org/debian $release main
deb http://deb.debian.org/debian $release-updates main
deb http://security.debian.org/debian-security $release-security main
F
rm -f etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap

cat > etc/cloud/cloud.cfg.d/90_dpkg.cfg <<'F'
datasource_list: [ConfigDrive, OpenStack, NoCloud, None]
F
# Every stage of cloud-init is a start of Python, which costs ten seconds in an emulated CPU, and every module some of
# it: the list has what user data commonly asks for, not the agents of other products (puppet, chef, landscape, …), and
# what Debian has in the stage "config" comes first in "final", which follows it at once.
cat > etc/cloud/cloud.cfg.d/95_image.cfg <<'F'
system_info:
  default_user:
    name: debian
    gecos: Debian
    groups: [adm, audio, cdrom, dialout, dip, floppy, netdev, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
    lock_passwd: true
  network:
    renderers: [networkd]
ssh_genkeytypes: [ed25519]
ssh_quiet_keygen: true
ssh: {emit_keys_to_console: false}
locale: C.UTF-8
apt: {preserve_sources_list: true}
cloud_init_modules: [seed_random, bootcmd, write-files, growpart, resizefs, disk_setup, mounts, set_hostname, update_hostname, update_etc_hosts, ca-certs, users-groups, ssh]
cloud_config_modules: []
cloud_final_modules: [ssh-import-id, set-passwords, apt-configure, ntp, timezone, runcmd, package-update-upgrade-install, write-files-deferred, scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance, scripts-user, ssh-authkey-fingerprints, phone-home, final-message, power-state-change]
F

# Only drivers that can carry the root disk of a cloud server; of a computer, of real disks too. Its kernel has none built in.
# They are there for udev to load what the machine has: all of them, as the file "modules" has it, take seconds in an emulated CPU.
modules='virtio_pci virtio_blk virtio_scsi sd_mod nvme'
[ -z "$host" ] || modules="$modules ext4 ahci ata_piix megaraid_sas mpt3sas hpsa smartpqi aacraid usb_storage uas"
cat > etc/initramfs-tools/hooks/disks <<F
#!/bin/sh
[ "\$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules $modules
F
chmod 755 etc/initramfs-tools/hooks/disks
printf 'LABEL=root / ext4 errors=remount-ro,discard 0 1\nLABEL=BOOT /boot/efi vfat noauto,umask=0077 0 0\n' > etc/fstab
mkdir -p boot/efi
# Kernel updates: the boot partition holds copies (a FAT file system has no links).
cat > usr/local/sbin/update-boot-partition <<'F'
#!/bin/sh
# Copies the newest kernel and its initrd to the boot partition, where syslinux and systemd-boot find them.
set -e
[ -b /dev/disk/by-label/BOOT ] || exit 0
version=$(ls /boot/vmlinuz-* | sed 's|.*/vmlinuz-||' | sort -V | tail -n 1)
[ -e "/boot/initrd.img-$version" ] || exit 0
mountpoint -q /boot/efi || { mount /boot/efi; trap 'umount /boot/efi' EXIT; }
cp "/boot/vmlinuz-$version" /boot/efi/vmlinuz.new
cp "/boot/initrd.img-$version" /boot/efi/initrd.new
sync -f /boot/efi
mv /boot/efi/vmlinuz.new /boot/efi/vmlinuz
mv /boot/efi/initrd.new /boot/efi/initrd
F
chmod 755 usr/local/sbin/update-boot-partition
for hook in etc/kernel/postinst.d etc/kernel/postrm.d etc/initramfs/post-update.d; do
  mkdir -p $hook
  printf '#!/bin/sh\nexec /usr/local/sbin/update-boot-partition >&2\n' > $hook/zz-boot-partition
  chmod 755 $hook/zz-boot-partition
done

# Nothing that wakes up on its own in a machine that may live for minutes only; `systemctl enable`
# brings each of them back.
chroot . systemctl -q enable systemd-networkd systemd-resolved ssh serial-getty@ttyS0
chroot . systemctl -q disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
  systemd-pstore.service dpkg-db-backup.timer 2>/dev/null || true
chroot . systemctl -q mask cloud-config.service
# A server whose second network has no DHCP, or none at all, must not wait for the usual two minutes.
mkdir -p etc/systemd/system/systemd-networkd-wait-online.service.d
printf '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n' > etc/systemd/system/systemd-networkd-wait-online.service.d/timeout.conf
mkdir -p etc/systemd/journald.conf.d
printf '[Journal]\nSystemMaxUse=50M\n' > etc/systemd/journald.conf.d/size.conf

say "initrd"
mount --bind /dev dev; mount -t proc proc proc
chroot . update-initramfs -u -k all >/dev/null 2>&1 || die "update-initramfs failed"
umount proc dev

# What must be each machine's own, and what nobody needs in an image.
rm -rf etc/ssh/ssh_host_* etc/hostname var/lib/systemd/random-seed var/lib/dbus/machine-id var/lib/apt/lists/* \
  var/cache/apt/*.bin var/cache/apt/archives/*.deb var/log/*.log var/log/apt/* var/cache/debconf/*-old tmp/*
: > etc/machine-id
echo localhost > etc/hostname
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n' > etc/hosts
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
cd ..

say "disk"
boot=128 # MB
used=$(du -sm root | cut -f1)
size=$((used * 5 / 4 + 160))
truncate -s ${size}M root.ext4
mke2fs -q -t ext4 -L root -m 1 -E lazy_itable_init=1,nodiscard -d root root.ext4
truncate -s $((1 + boot + size + 1))M disk.raw
sfdisk -q disk.raw <<F
label: gpt
disk15 : start=2048, size=$((boot * 2048)), type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=boot, attrs="LegacyBIOSBootable"
disk1 : start=$(((1 + boot) * 2048)), size=$((size * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root
F
dd if=root.ext4 of=disk.raw bs=1M seek=$((1 + boot)) conv=notrunc,sparse status=none
rm root.ext4
# last console= is where systemd talks; the others are harmless and save time in an emulated CPU
flags="root=LABEL=root ro console=tty0 console=ttyS0,115200 quiet no_timer_check cryptomgr.notests random.trust_cpu=on"
export MTOOLS_SKIP_CHECK=1
fat=disk.raw@@1M
mformat -i $fat -T $((boot * 2048)) -h 255 -s 63 -H 2048 -F -v BOOT ::
cp root/boot/vmlinuz-* vmlinuz; cp root/boot/initrd.img-* initrd
mcopy -i $fat vmlinuz initrd ::
printf 'default linux\nprompt 0\ntimeout 0\nlabel linux\n kernel vmlinuz\n append initrd=initrd %s\n' "$flags" > syslinux.cfg
mcopy -i $fat syslinux.cfg ::
mmd -i $fat ::EFI ::EFI/BOOT ::loader ::loader/entries
mcopy -i $fat /usr/lib/systemd/boot/efi/systemd-bootx64.efi ::EFI/BOOT/BOOTX64.EFI
printf 'timeout 0\ndefault linux\n' > loader.conf
printf 'title Debian 12\nlinux /vmlinuz\ninitrd /initrd\noptions %s\n' "$flags" > linux.conf
mcopy -i $fat loader.conf ::loader/loader.conf
mcopy -i $fat linux.conf ::loader/entries/linux.conf
syslinux -t 1048576 -i disk.raw
dd if=/usr/lib/syslinux/mbr/gptmbr.bin of=disk.raw conv=notrunc bs=440 count=1 status=none

say "compressing to $out"
mkdir -p "$(dirname "$out")"
qemu-img convert -c -W -m 2 -O qcow2 -o compression_type=zstd disk.raw "$partial"
mv "$partial" "$out"
say "done: $(($(stat -c %s "$out") >> 20)) MB, $used MB installed"
