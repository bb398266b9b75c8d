#!/bin/bash
# Puts Hanok's program into the live system.
#   assemble.sh BASE PROGRAM OUT     BASE is what build.sh made; OUT gets kernel, initrd, efi, cmdline
# The program travels in an archive of its own behind the base (the kernel unpacks one after the other), so another
# program is another few seconds and not another build.
set -euo pipefail
export LC_ALL=C
[ $# = 3 ] || { echo "usage: assemble.sh BASE PROGRAM OUT" >&2; exit 2; }
base=$(realpath "$1") program=$(realpath "$2") out=$(realpath -m "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/bin" "$work/out"
objcopy --strip-all "$program" "$work/root/bin/hanok"
chmod 755 "$work/root/bin/hanok"
find "$work/root" -exec touch -h -d @0 {} +
(cd "$work/root" && find . | sort | cpio -o -H newc --quiet --reproducible --owner=0:0) | zstd -q -6 > "$work/program"
cp "$base/kernel" "$base/cmdline" "$work/out/"
cat "$base/base" "$work/program" > "$work/out/initrd"
# The command line is a section of 4 KiB, filled up with blanks: whoever serves the file writes the machine's own words
# into it. Firmware passes none to what it loads from the network.
printf '%-4096s' "$(cat "$base/cmdline")" > "$work/cmdline"
printf 'NAME="Hanok live"\nID=hanok-live\nPRETTY_NAME="Hanok live system"\n' > "$work/osrel"
objcopy --add-section .osrel="$work/osrel" --change-section-vma .osrel=0x20000 \
  --add-section .cmdline="$work/cmdline" --change-section-vma .cmdline=0x30000 \
  --add-section .linux="$base/kernel" --change-section-vma .linux=0x2000000 \
  --add-section .initrd="$work/out/initrd" --change-section-vma .initrd=0x4000000 \
  /usr/lib/systemd/boot/efi/linuxx64.efi.stub "$work/out/efi"
mkdir -p "$out"
mv "$work"/out/* "$out/"
