#ifndef ANNEX_VM_H
#define ANNEX_VM_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A virtual machine, bare: any Linux kernel, with what it needs to boot. Machines (machine.h) are built on the same
 * code. The QEMU process is a child of this one and dies with it.
 */
struct annex_vm;

struct annex_vm_disk {
	const char *path;
	const char *format; /* "raw" or "qcow2": always named, never probed */
	const char *serial; /* seen by the guest, at most 20 characters, or NULL */
	int read_only;
};

struct annex_vm_options {
	size_t size;
	const char *kernel;       /* vmlinux with a PVH note, or bzImage */
	const char *initrd;       /* or NULL */
	const char *command_line; /* or NULL */
	const struct annex_vm_disk *disks;
	size_t disk_count;
	uint64_t memory;         /* bytes; 0: 512 MiB */
	unsigned cpus;           /* 0: 1 */
	const char *accelerator; /* "auto", "kvm", "tcg"; NULL: auto */
	int console_fd;          /* the serial console is written here; -1: dropped; stays the caller's */
	int network_fd;          /* a Unix socket of datagrams, one for each Ethernet frame that its network interface
				  * sends or receives; -1: it has none; stays the caller's, and is duplicated */
};
#define ANNEX_VM_OPTIONS_INIT                                                                  \
	{                                                                                      \
		sizeof(struct annex_vm_options), NULL, NULL, NULL, NULL, 0, 0, 0, NULL, -1, -1 \
	}

enum annex_vm_event {
	ANNEX_VM_STARTED = 1,
	ANNEX_VM_PAUSED,
	ANNEX_VM_RESUMED,
	ANNEX_VM_RESET, /* the guest rebooted */
	ANNEX_VM_PANICKED,
	ANNEX_VM_POWERED_OFF, /* the guest asked for it; ENDED follows */
	ANNEX_VM_ENDED        /* the process is gone: the last event */
};
const char *annex_vm_event_name(enum annex_vm_event event);

/* Copies the options. Does not start anything. */
int annex_vm_new(struct annex_vm **ret, struct annex_context *context, const struct annex_vm_options *options,
		 struct annex_error **err);
/* Ends the virtual machine if it runs. */
void annex_vm_free(struct annex_vm *vm);

/* Start QEMU and wait until the guest's processors run. NOT_FOUND (QEMU, a file), UNSUPPORTED (accelerator), SYSTEM. */
int annex_vm_start(struct annex_vm *vm, struct annex_error **err);
int annex_vm_pause(struct annex_vm *vm, struct annex_error **err);
int annex_vm_resume(struct annex_vm *vm, struct annex_error **err);
/* timeout_ms > 0: press the power button and wait that long first; then end it. */
int annex_vm_stop(struct annex_vm *vm, int64_t timeout_ms, struct annex_error **err);

/* The next event; waits at most timeout_ms (negative: for ever), else TIMEOUT. After ENDED: BUSY. */
int annex_vm_wait(struct annex_vm *vm, enum annex_vm_event *ret, int64_t timeout_ms, struct annex_error **err);
/* Readable when annex_vm_wait() with 0 has something to do. */
int annex_vm_fd(const struct annex_vm *vm);
/* QEMU's process id, or 0. */
int annex_vm_pid(const struct annex_vm *vm);

#ifdef __cplusplus
}
#endif

#endif
