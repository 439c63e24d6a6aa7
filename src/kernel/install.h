#pragma once
#include "kernel/kernel.h"

/* The three sources of kernel_install(): each fills a folder that is published under the kernel's release, which the
 * caller gets as *ret and frees. */
MUST_USE int install_file(char **ret, const char *root, const char *file, const char *modules,
			  kernel_progress_fn *progress, void *data, struct annex_error **err);
MUST_USE int install_deb(char **ret, const char *root, const char *deb, kernel_progress_fn *progress, void *data,
			 struct annex_error **err);
MUST_USE int install_distribution(char **ret, const char *root, kernel_progress_fn *progress, void *data,
				  struct annex_error **err);
/* For a file that a machine names: lib/modules/RELEASE beside it, else the host's own of that release, else NULL.
 * `file` is absolute. */
MUST_USE int install_find_modules(char **ret, const char *file, const char *release, struct annex_error **err);
/* A file that a machine names, into ROOT/.files/SHA256; *ret is that folder's path. */
MUST_USE int install_named(char **ret, const char *root, const char *file, struct annex_error **err);
