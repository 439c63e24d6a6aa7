#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Guest kernels. FOLDER is $XDG_DATA_HOME/annex/kernels (made on demand). FOLDER/NAME/ holds kernel.json, vmlinux,
 * vmlinuz where the ELF can't be booted directly, lib/modules/RELEASE/ with all modules as they were packaged and their
 * indexes, and initramfs images made on demand. FOLDER/.files/SHA256/ holds kernels that machines name by a path; their
 * modules stay where they are.
 */
#define KERNEL_NAME_LIMIT 64
#define KERNEL_FILES      ".files"

struct kernel {
	char *name;    /* of the folder: the release. For one named by a path: that path */
	char *release; /* uname -r */
	char *folder;  /* absolute */
	char *vmlinux; /* absolute path of the ELF image (arm64: of the flat image) */
	char *image;   /* absolute path of what QEMU's -kernel gets: vmlinux if it has a PVH entry, else the bzImage */
	char *modules; /* absolute path of …/lib/modules/RELEASE; NULL: there are none */
	char *source;  /* "package linux-image-….deb" or the file's path */
	int64_t installed; /* seconds since 1970 */
	uint64_t size;     /* bytes on disk */
	bool has_virtio;   /* the driver of a machine's disk is built in: boots a machine without modules */
	bool is_default;
};
void kernel_free(struct kernel *kernel);
static inline void cleanup_kernel(struct kernel **kernel)
{
	kernel_free(*kernel);
}
#define auto_kernel CLEANUP(cleanup_kernel)

struct kernel_install_options {
	const char *deb;     /* a .deb file; a linux-modules-*.deb that belongs to it is found beside it */
	const char *file;    /* vmlinux or bzImage with a gzip, LZ4, zstd, xz or lzma payload */
	const char *modules; /* with file: the folder of its modules, lib/modules/RELEASE itself; NULL: all built in */
	bool make_default;   /* the first one installed always becomes the default */
};

/* Called before each long step, e.g. "downloading linux-image-…"; non-zero cancels. */
typedef int kernel_progress_fn(const char *what, void *data);

/*
 * With neither deb nor file: the distribution's cloud kernel, downloaded by apt-get as the user who asks and not
 * installed into the host. The same release with the same content is left as it is, other content replaces it. Blocks
 * as the network and the disk do; one installation at a time, later ones wait. Kinds: UNSUPPORTED (no apt, other
 * architecture), NETWORK, NOT_FOUND, USAGE (not a kernel, not a package), CORRUPT, CANCELLED, SYSTEM.
 */
MUST_USE int kernel_install(struct kernel **ret, const char *folder, const struct kernel_install_options *options,
			    kernel_progress_fn *progress, void *data, struct annex_error **err);

/* Oldest release first. */
MUST_USE int kernel_list(struct kernel ***ret, size_t *ret_count, const char *folder, struct annex_error **err);
void kernel_list_free(struct kernel **list, size_t count);

/* An unknown name is NOT_FOUND. */
MUST_USE int kernel_set_default(const char *folder, const char *name, struct annex_error **err);
/* The newest of the others becomes the default when the default is deleted. Works on a damaged one too. */
MUST_USE int kernel_delete(const char *folder, const char *name, struct annex_error **err);

/*
 * NULL: the default; a name; or, when it holds a slash, the path of a kernel image. That one is checked and unpacked
 * into FOLDER/.files/; its modules are those in lib/modules/RELEASE beside it, else the host's own of that release,
 * else there are none, which is for kernels that are booted with an initrd of one's own.
 */
MUST_USE int kernel_open(struct kernel **ret, const char *folder, const char *name, struct annex_error **err);

/* Would kernel_open() work? Writes nothing. A file that is missing is NOT_FOUND; an empty one, a folder and what is no
 * kernel are USAGE; a kernel for something else UNSUPPORTED. */
MUST_USE int kernel_check(const char *folder, const char *name, struct annex_error **err);

/*
 * The path of an initramfs of this agent and the modules that boot needs, for which the agent finds the order in
 * /modules/order; one that can't be inserted is to be passed over (ENODEV: a driver for what the machine hasn't got).
 * Made when there is none yet. UNSUPPORTED when the kernel's disk driver is a module and there are no modules. The
 * caller frees *ret.
 */
MUST_USE int kernel_initramfs(char **ret, const struct kernel *kernel, const char *agent_program,
			      struct annex_error **err);
