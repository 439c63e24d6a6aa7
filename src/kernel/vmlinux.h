#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is in a kernel file: pure, over bytes in memory. */
#define VMLINUX_FILE_LIMIT    (1u << 30)   /* bytes of a kernel file */
#define VMLINUX_PLAIN_LIMIT   (512u << 20) /* bytes of the kernel in it when that is compressed */
#define VMLINUX_RELEASE_LIMIT 64           /* bytes of uname -r, without the NUL */
#define VMLINUX_SCAN_LIMIT    64u          /* places that look like a payload and are tried */

struct vmlinux {
	char release[VMLINUX_RELEASE_LIMIT + 1];
	bool pvh;    /* x86-64: QEMU can start the ELF */
	bool virtio; /* the driver of a machine's disk is built in */
	bool boxed;  /* the file is a bzImage: what QEMU gets when there is no PVH entry */
	char *plain; /* the ELF (arm64: flat) image, owned; NULL: the file itself is it */
	size_t plain_size;
};
void vmlinux_clear(struct vmlinux *image);
#define auto_vmlinux CLEANUP(vmlinux_clear)

/*
 * Recognise vmlinux, bzImage, arm64's Image, and any of them compressed as a whole. `machine` is <elf.h>'s EM_X86_64 or
 * EM_AARCH64: a kernel for another is UNSUPPORTED, as is one that QEMU could not start; what is no kernel is USAGE; a
 * damaged one CORRUPT.
 */
MUST_USE int vmlinux_parse(struct vmlinux *ret, const void *bytes, size_t size, uint16_t machine,
			   struct annex_error **err);

/* The machine of this host: EM_X86_64, EM_AARCH64, or EM_NONE. */
uint16_t vmlinux_host_machine(void);
/* Can it be a release, and so a folder's name? It starts with a digit. */
bool vmlinux_release_is_valid(const char *release);
