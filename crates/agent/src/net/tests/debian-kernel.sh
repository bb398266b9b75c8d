#!/bin/bash
# Makes what a small machine boots to run one program under Debian's kernel, which knows what the test machine's own may not.
#   debian-kernel.sh CACHE OUT PROGRAM WORDS…   makes OUT/kernel and OUT/initrd; the machine runs PROGRAM with WORDS,
#                                               prints "ended with STATUS" and switches itself off
# The kernel and its modules come from Debian's package and are kept in CACHE; programs and libraries are this machine's.
set -euo pipefail
export LC_ALL=C

cache=$1 out=$2 program=$3
shift 3
here=$(realpath "${BASH_SOURCE[0]}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say() { echo "debian-kernel: $*" >&2; }

# The kernel, with the modules that a network of Hanok's takes.
kept=$cache/net-kernel-$(sha256sum "$here" | cut -c -12)
mkdir -p "$cache"
exec 9> "$kept.lock"
flock 9
if [ ! -d "$kept" ]; then
  name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$name" ] || { say "apt knows no linux-image-cloud-amd64; add a Debian mirror and run apt-get update"; exit 1; }
  say "downloading $name"
  (cd "$work" && apt-get download -q -o APT::Sandbox::User=root -o Acquire::Retries=5 -o Acquire::http::Timeout=20 "$name" > /dev/null)
  dpkg -x "$work"/linux-image-*.deb "$work/deb"
  version=$(ls "$work/deb/lib/modules")
  from=$work/deb/lib/modules/$version
  depmod -b "$work/deb" "$version"
  grep -oE '^kernel/(net/(8021q|802|llc|bridge|netfilter|packet|sched|ipv4/netfilter|ipv6/netfilter)/[^:]*|drivers/net/(tun|veth|ifb|vxlan[^:]*)\.ko|drivers/net/vxlan/[^:]*)' \
    "$from/modules.dep" > "$work/chosen"
  awk -F': *' 'NR == FNR { want[$1]; next } $1 in want { print $1; n = split($2, d, " "); for (i = 1; i <= n; i++) print d[i] }' \
    "$work/chosen" "$from/modules.dep" | sort -u > "$work/files"
  new=$work/new
  mkdir -p "$new/lib/modules/$version"
  cp "$from"/modules.{builtin,builtin.modinfo,order} "$new/lib/modules/$version/"
  while read -r file; do
    mkdir -p "$new/lib/modules/$version/${file%/*}"
    # Without type information and debug symbols a module loads several times faster in an emulated CPU.
    objcopy --strip-debug -R .BTF "$from/$file" "$new/lib/modules/$version/$file"
  done < "$work/files"
  depmod -b "$new" "$version"
  cp "$work/deb/boot/vmlinuz-$version" "$new/kernel"
  rm -rf "$kept.part"
  cp -r "$new" "$kept.part"
  mv "$kept.part" "$kept"
fi
flock -u 9

root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,run,tmp,etc,lib64,usr}
ln -s bin "$root/sbin"; ln -s ../bin "$root/usr/bin"; ln -s ../bin "$root/usr/sbin"; ln -s ../lib "$root/usr/lib"
cp -r "$kept/lib" "$root/lib"
add() { # a program and the libraries that it loads, by their paths
  install -m 755 -D "$1" "$2"
  ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' | while read -r lib; do
    [ -e "$root$lib" ] || install -D "$lib" "$root$lib"
  done
}
for name in busybox bash ip bridge tc nft conntrack ping kmod; do
  add "$(command -v "$name" || echo "/usr/sbin/$name")" "$root/bin/$name"
done
strip -o "$work/program" "$program"
add "$work/program" "$root/bin/program"
ln -s kmod "$root/bin/modprobe"
for applet in sh mount mkdir cat echo poweroff sleep uname; do ln -s busybox "$root/bin/$applet"; done
printf 'root:x:0:0:root:/:/bin/sh\n' > "$root/etc/passwd"
cp /etc/protocols "$root/etc/" 2> /dev/null || true
cat > "$root/init" <<EOF
#!/bin/sh
export PATH=/bin HOME=/ TMPDIR=/tmp HANOK_TEST_VLANS=1 RUST_BACKTRACE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
modprobe -a tun br_netfilter nf_conntrack
ip link set lo up
uname -r
program $*
echo "ended with \$?"
poweroff -f
EOF
chmod 755 "$root/init"
mkdir -p "$out"
cp "$kept/kernel" "$out/kernel"
(cd "$root" && find . | cpio -o -H newc --quiet --owner=0:0) > "$out/initrd"
