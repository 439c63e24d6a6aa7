#ifndef ANNEX_KERNEL_H
#define ANNEX_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Guest kernels. */
struct annex_kernel;

struct annex_kernel_install_options {
	size_t size;
	const char *deb;     /* a Debian package file, or NULL */
	const char *file;    /* a kernel image (vmlinux or bzImage), or NULL */
	const char *modules; /* with file: its folder of modules, or NULL */
	int make_default;    /* the first one becomes the default anyway */
};
#define ANNEX_KERNEL_INSTALL_OPTIONS_INIT                                        \
	{                                                                        \
		sizeof(struct annex_kernel_install_options), NULL, NULL, NULL, 0 \
	}

/* Neither deb nor file: the distribution's cloud kernel from its package, which is not installed on the host. Blocks;
 * reports progress; can be cancelled. */
int annex_kernel_install(struct annex_kernel **ret, struct annex_context *context,
			 const struct annex_kernel_install_options *options, struct annex_error **err);
int annex_kernel_list(struct annex_kernel ***ret, size_t *ret_count, struct annex_context *context,
		      struct annex_error **err);
void annex_kernel_list_free(struct annex_kernel **list, size_t count);
int annex_kernel_set_default(struct annex_context *context, const char *name, struct annex_error **err);
/* BUSY when a machine's settings name it. */
int annex_kernel_delete(struct annex_context *context, const char *name, struct annex_error **err);
void annex_kernel_unref(struct annex_kernel *kernel);

const char *annex_kernel_name(const struct annex_kernel *kernel);
const char *annex_kernel_source(const struct annex_kernel *kernel);
int64_t annex_kernel_installed(const struct annex_kernel *kernel); /* seconds since 1970 */
uint64_t annex_kernel_size(const struct annex_kernel *kernel);     /* bytes on disk */
int annex_kernel_is_default(const struct annex_kernel *kernel);
/* Does the modprobe of its machines find its modules? If not, depmod is missing on the host; where it is there, the
 * next start of a machine mends that. */
int annex_kernel_is_indexed(const struct annex_kernel *kernel);

#ifdef __cplusplus
}
#endif

#endif
