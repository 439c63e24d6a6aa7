#pragma once
#include "base/error.h"
#include "kernel/kernel.h"

/* FOLDER/NAME/kernel.json and FOLDER/default.json. */
#define KERNEL_RECORD_VERSION 1u
#define KERNEL_RECORD_NAME    "kernel.json"

struct kernel_record {
	uint64_t version;
	char *release;
	char *source;
	char *image;   /* "vmlinux" or "vmlinuz": what QEMU boots */
	char *modules; /* absolute; NULL: lib/modules/RELEASE in the folder, if that is there */
	char *content; /* digest of all that was installed */
	int64_t installed;
	uint64_t size;
	bool pvh;
	bool virtio; /* the driver of a machine's disk is built in */
};
void kernel_record_clear(struct kernel_record *record);
#define auto_kernel_record CLEANUP(kernel_record_clear)

MUST_USE int kernel_record_write(const struct kernel_record *record, int dir, struct annex_error **err);
/* NOT_FOUND when the folder has none. */
MUST_USE int kernel_record_read(struct kernel_record *ret, const char *folder, struct annex_error **err);
/* What kernel_open() gives, for the kernel in that folder. */
MUST_USE int kernel_record_to_kernel(struct kernel **ret, const struct kernel_record *record, const char *name,
				     const char *folder, struct annex_error **err);

/* The default's name, or NULL in *ret; it may be gone. The caller frees it. */
MUST_USE int kernel_record_read_default(char **ret, const char *folder, struct annex_error **err);
/* NULL: none. */
MUST_USE int kernel_record_write_default(const char *folder, const char *name, struct annex_error **err);
