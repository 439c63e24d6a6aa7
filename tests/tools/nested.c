/* Runs a virtual machine of a few instructions by KVM, inside a machine: prints what it computes. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CODE = 0x1000, PORT = 0x42 };

/* add al, bl; out PORT, al; hlt */
static const uint8_t code[] = {0x00, 0xd8, 0xe6, PORT, 0xf4};

static int complain(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

/* Real mode, from the code's first byte. */
static int set_registers(int cpu)
{
	struct kvm_sregs special;
	struct kvm_regs registers = {.rip = CODE, .rax = 40, .rbx = 2, .rflags = 2};

	if (ioctl(cpu, KVM_GET_SREGS, &special) < 0)
		return -1;
	special.cs.base = 0;
	special.cs.selector = 0;
	if (ioctl(cpu, KVM_SET_SREGS, &special) < 0)
		return -1;
	return ioctl(cpu, KVM_SET_REGS, &registers);
}

static int run(int cpu, struct kvm_run *shared)
{
	while (ioctl(cpu, KVM_RUN, 0) == 0) {
		switch (shared->exit_reason) {
		case KVM_EXIT_IO:
			if (shared->io.port != PORT)
				return 1;
			printf("%d\n", *((uint8_t *)shared + shared->io.data_offset));
			break;
		case KVM_EXIT_HLT:
			return 0;
		default:
			fprintf(stderr, "exit %u\n", shared->exit_reason);
			return 1;
		}
	}
	return complain("KVM_RUN");
}

int main(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, cpu, size;
	void *memory = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = CODE, .memory_size = 0x1000, .userspace_addr = (uintptr_t)memory};
	struct kvm_run *shared;

	if (kvm < 0 || memory == MAP_FAILED)
		return complain("/dev/kvm");
	memcpy(memory, code, sizeof(code));
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return complain("KVM_CREATE_VM");
	cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (cpu < 0 || size < 0)
		return complain("KVM_CREATE_VCPU");
	shared = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (shared == MAP_FAILED || set_registers(cpu) < 0)
		return complain("its registers");
	return run(cpu, shared);
}
