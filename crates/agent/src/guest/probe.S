# The boot sector of accel.rs: goes the way of every ordinary guest, from real mode to a program in ring 3 of long mode
# and back, and then says so with one byte on the serial port. What goes wrong anywhere is a triple fault, or silence.
#   as -o probe.o probe.S && ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -o probe.bin probe.o
.set PML4, 0x1000
.set PDPT, 0x2000
.set PD, 0x3000
.set TSS, 0x4000
.set STACK, 0x7c00
.set USER_STACK, 0x7a00
.globl _start
.code16
_start:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $STACK, %sp
	movw $PML4, %di
	movw $(TSS + 0x1000 - PML4) / 2, %cx
	rep stosw
	# The first 2 MiB, where they are, for everybody.
	movw $PDPT + 7, PML4
	movw $PD + 7, PDPT
	movw $0x87, PD
	movw $STACK, TSS + 4
	lgdtl gdtr
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmp $8, $protected
.code32
protected:
	movw $0x10, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $STACK, %esp
	pushfl
	pushl $8
	pushl $returned
	iretl
returned:
	movl $PML4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x220, %eax # PAE, and SSE
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orb $1, %ah # long mode
	wrmsr
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	ljmp $0x18, $long
.code64
long:
	lidt idtr
	movw $0x30, %ax
	ltr %ax
	pushq $0x23
	pushq $USER_STACK
	pushfq
	pushq $0x2b
	pushq $user
	iretq
user:
	pxor %xmm0, %xmm0
	int $0x20
done:
	movw $0x3f8, %dx
	movb $'K', %al
	outb %al, %dx
0:	hlt
	jmp 0b

gdtr:	.word 8 * 8 - 1
	.long gdt
idtr:	.word 0x20f
	.quad gate - 0x200
	.p2align 3
gate:	.word done, 0x18, 0xee00, 0
	.quad 0
gdt:	.quad 0
	.quad 0x00cf9b000000ffff # 08: code of 32 bits
	.quad 0x00cf93000000ffff # 10: data
	.quad 0x00209b0000000000 # 18: code of 64 bits
	.quad 0x00cff3000000ffff # 20: data of ring 3
	.quad 0x0020fb0000000000 # 28: code of ring 3
	.quad (0x0000890000000067 + (TSS << 16)) # 30: the task
	.quad 0
.org 510
	.byte 0x55, 0xaa
