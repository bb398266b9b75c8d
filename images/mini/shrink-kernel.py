#!/usr/bin/env python3
"""shrink-kernel.py VMLINUZ OUT: repack a distribution's x86 bzImage so that it boots in 64 MB.

The kernel itself needs 40 MB from address 16 MB on, which fits.  What does not fit is the unpacking:
the boot code unpacks the whole ELF file, with 4 MB of scratch space (for memory encryption) and
paddings in it, and refuses to work below 68 MB.  We leave the boot code alone and give it a shorter
ELF file: same segments, same addresses, without scratch space, uninitialised data (the kernel clears
that itself) and type information (BTF, for BPF programs only; the kernel notes its absence with one
line, `BPF: Invalid magic`).

Relocations, which follow the ELF file, go too: such a kernel must be booted with `nokaslr`.
Anything unexpected ends with an error and no output: the caller then uses the kernel as it is.
"""
import struct
import subprocess
import sys

HEADER_ROOM = 0x1000
PT_LOAD, SHT_NOBITS = 1, 8


def lz4(flag, data):
    return subprocess.run(["lz4", "-c", *flag, "-"], input=data, stdout=subprocess.PIPE, check=True).stdout


def sections(elf):
    (shoff,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", elf, shoff + i * size) for i in range(count)]
    text = heads[names][4]
    for name, kind, _, addr, offset, length in heads:
        label = elf[text + name : elf.index(b"\0", text + name)].decode()
        yield label, kind, addr, offset, length


def compact(elf):
    """The ELF file again, every segment at the offset that it has in memory; and the memory it needs."""
    phoff, = struct.unpack_from("<Q", elf, 0x20)
    psize, pcount = struct.unpack_from("<HH", elf, 0x36)
    heads = [list(struct.unpack_from("<IIQQQQQQ", elf, phoff + i * psize)) for i in range(pcount)]
    loads = [h for h in heads if h[0] == PT_LOAD]
    secs = list(sections(elf))
    base = loads[0][4]
    start = max((h[4] for h in loads))
    last = next(h for h in loads if h[4] == start)
    if last is not loads[-1]:
        raise ValueError("segments out of order")
    # cut the last segment where its uninitialised data starts
    bss = next(s for s in secs if s[0] == ".bss" and s[1] == SHT_NOBITS)
    brk = next(s for s in secs if s[0] == ".brk")
    cut = bss[2] - last[3]
    if not 0 < cut <= last[5]:
        raise ValueError("no uninitialised data in the last segment")
    memory = brk[2] + brk[4] - last[3] + last[4] - base
    last[5] = cut
    body = bytearray(elf)
    for label, _, _, offset, length in secs:
        if label == ".BTF":
            body[offset : offset + length] = bytes(length)
    out = bytearray(last[4] - base + cut)
    for head in loads:
        source, target = head[2], max(head[4] - base, HEADER_ROOM)
        out[target : target + head[5]] = body[source : source + head[5]]
        head[2] = target
    ends = [(h[2], h[2] + h[5]) for h in loads]
    if any(a[1] > b[0] for a, b in zip(ends, ends[1:])):
        raise ValueError("segments overlap")
    out[:64] = elf[:64]
    struct.pack_into("<QQ", out, 0x20, 64, 0)  # program headers right behind; no section headers
    struct.pack_into("<HHHHH", out, 0x36, psize, len(loads), 64, 0, 0)
    for i, head in enumerate(loads):
        struct.pack_into("<IIQQQQQQ", out, 64 + i * psize, *head)
    return bytes(out), memory


def main(source, target):
    image = bytearray(open(source, "rb").read())
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage")
    code = (image[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    init_size, = struct.unpack_from("<I", image, 0x260)
    payload = bytes(image[code + offset : code + offset + length])
    if payload[:4] != bytes.fromhex("02214c18"):
        raise ValueError("not compressed with lz4")
    old_size, = struct.unpack_from("<I", payload, length - 4)
    elf, memory = compact(lz4(["-d"], payload[:-4]))
    packed = lz4(["-l", "-12"], elf)
    room = length - len(packed)
    if room < 8:
        raise ValueError("grew")
    # The input keeps its length: the boot code stops at the zeros, and finds the unpacked size at the end.
    # Unpacking happens in place, towards its own input: keep the distance that the build had, and
    # as much again as the input became shorter.
    need = max(memory, len(elf) + (init_size - old_size) + room)
    need = (need + 0xFFFF) & ~0xFFFF
    if need > init_size:
        raise ValueError("nothing gained")
    image[code + offset : code + offset + length] = packed + bytes(room - 4) + struct.pack("<I", len(elf))
    struct.pack_into("<I", image, 0x260, need)
    open(target, "wb").write(image)
    print("kernel needs %d MB from 16 MB on (was %d), payload %d KB (was %d)"
          % (need >> 20, init_size >> 20, len(packed) >> 10, length >> 10), file=sys.stderr)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except (ValueError, StopIteration, struct.error, subprocess.CalledProcessError) as error:
        sys.exit("shrink-kernel: %s" % error)
