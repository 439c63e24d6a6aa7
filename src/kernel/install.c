/*
 * Where kernels come from. A package is unpacked straight into the staged folder; what apt downloads lands in a
 * folder of its own, in ROOT/.download-…, and then is a package like any other.
 */
#include "kernel/kernel.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/apt.h"
#include "kernel/vmlinux.h"
#include "kernel/package.h"
#include "kernel/staging.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define DOWNLOAD ".download-"

static int PRINTF_LIKE(4, 5)
	report(kernel_progress_fn *progress, void *data, struct annex_error **err, const char *format, ...)
{
	auto_free char *what = NULL;
	va_list args;
	int length;

	if (!progress)
		return 0;
	va_start(args, format);
	length = vasprintf(&what, format, args);
	va_end(args);
	if (length < 0) {
		what = NULL;
		return fail_memory(err);
	}
	return progress(what, data) == 0 ? 0 : fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
}

static int finish(char **ret, struct staging *staging, struct annex_error **err)
{
	auto_free char *name = strdup(staging->record.release);

	if (!name)
		return fail_memory(err);
	if (staging_publish(staging, name, err) < 0)
		return -1;
	*ret = TAKE(name);
	return 0;
}

static int install_file(char **ret, const char *root, const char *file, const char *modules,
			kernel_progress_fn *progress, void *data, struct annex_error **err)
{
	auto_staging struct staging staging = STAGING_NONE;
	auto_free char *bytes = NULL;
	size_t size = 0;

	if (report(progress, data, err, "reading %s", file) < 0 || staging_read_file(&bytes, &size, file, err) < 0 ||
	    staging_begin(&staging, root, err) < 0)
		return -1;
	if (staging_add_image(&staging, bytes, size, err) < 0)
		return fail_while(err, "%s", file);
	if (!modules && !staging.record.virtio) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: the disk's driver virtio_blk is a module of this kernel", file);
		return fail_hint(err, "add --modules /lib/modules/%s", staging.record.release);
	}
	if (modules) {
		if (report(progress, data, err, "copying modules from %s", modules) < 0 ||
		    staging_copy_modules(&staging, modules, err) < 0)
			return -1;
	}
	staging.record.source = realpath(file, NULL);
	if (!staging.record.source)
		return fail_os(err, errno, "cannot resolve %s", file);
	return finish(ret, &staging, err);
}

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

/* The package linux-modules-RELEASE_*.deb beside another; NULL in *ret when there is none. */
static int find_beside(char **ret, const char *deb, const char *release, struct annex_error **err)
{
	auto_free char *folder = strndup(deb, (size_t)(path_name(deb) - deb)), *start = NULL;
	CLEANUP(cleanup_folder) DIR *files = folder ? opendir(*folder ? folder : ".") : NULL;
	struct dirent *entry;

	if (!folder || asprintf(&start, "linux-modules-%s_", release) < 0) {
		start = NULL;
		return fail_memory(err);
	}
	*ret = NULL;
	while (files && (entry = readdir(files))) {
		if (!text_starts(entry->d_name, start) || !text_ends(entry->d_name, ".deb"))
			continue;
		*ret = *folder ? path_join(folder, entry->d_name) : strdup(entry->d_name);
		return *ret ? 0 : fail_memory(err);
	}
	return 0;
}

/* Ubuntu has the modules in a package of their own. */
static int unpack_modules(struct staging *staging, const char *deb, struct annex_error **err)
{
	auto_package struct package package = {0};
	auto_free char *beside = NULL;
	const char *release = staging->record.release;

	if (find_beside(&beside, deb, release, err) < 0)
		return -1;
	if (!beside) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "%s: the package holds no modules", deb);
		return fail_hint(err, "put linux-modules-%s_….deb beside it", release);
	}
	if (package_unpack(&package, staging->dir, beside, err) < 0)
		return -1;
	if (!text_equal(package.release, release))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: it holds no modules for %s", beside, release);
	return 0;
}

static int install_deb(char **ret, const char *root, const char *deb, kernel_progress_fn *progress, void *data,
		       struct annex_error **err)
{
	auto_staging struct staging staging = STAGING_NONE;
	auto_package struct package package = {0};

	if (report(progress, data, err, "unpacking %s", path_name(deb)) < 0 || staging_begin(&staging, root, err) < 0 ||
	    package_unpack(&package, staging.dir, deb, err) < 0)
		return -1;
	if (!package.image) {
		fail(err, ANNEX_ERROR_USAGE, "%s: the package holds no kernel", deb);
		return fail_hint(err, "a package linux-image-… that is no metapackage is meant");
	}
	if (staging_add_image(&staging, package.image, package.image_size, err) < 0)
		return fail_while(err, "%s", deb);
	if (package.release && !text_equal(package.release, staging.record.release))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: it holds the kernel %s and modules for %s", deb,
			    staging.record.release, package.release);
	if (!package.release && unpack_modules(&staging, deb, err) < 0)
		return -1;
	if (asprintf(&staging.record.source, "package %s", path_name(deb)) < 0) {
		staging.record.source = NULL;
		return fail_memory(err);
	}
	return finish(ret, &staging, err);
}

/* A folder for what is downloaded, locked as long as its process lives: whatever is not, was left by one that died. */
struct download {
	int root;
	char *name; /* in root */
	int lock;
};

static void download_clear(struct download *download)
{
	if (download->name && file_remove_tree(download->root, download->name) < 0)
		log_debug("cannot remove %s; the next download tries again", download->name);
	cleanup_close(&download->lock);
	cleanup_close(&download->root);
	free(download->name);
}

static void cleanup_listing(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

static void sweep_downloads(const char *root)
{
	CLEANUP(cleanup_listing) DIR *folder = opendir(root);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		auto_close int lock = -EBADF;

		if (!text_starts(entry->d_name, DOWNLOAD))
			continue;
		lock = openat(dirfd(folder), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 &&
		    file_remove_tree(dirfd(folder), entry->d_name) < 0)
			log_debug("cannot remove %s", entry->d_name);
	}
}

static int download_begin(struct download *download, char **ret_path, const char *root, struct annex_error **err)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/" DOWNLOAD "XXXXXX", root) < 0) {
		path = NULL;
		return fail_memory(err);
	}
	if (file_make_folders(root, 0755) < 0 || !mkdtemp(path))
		return fail_os(err, errno, "cannot make a folder in %s", root);
	download->name = strdup(path_name(path));
	download->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!download->name || download->root < 0)
		return fail_os(err, errno, "cannot open the folder %s", root);
	download->lock = openat(download->root, download->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (download->lock < 0 || flock(download->lock, LOCK_EX | LOCK_NB) < 0)
		return fail_os(err, errno, "cannot lock the folder %s", path);
	*ret_path = TAKE(path);
	return 0;
}

static int install_distribution(char **ret, const char *root, kernel_progress_fn *progress, void *data,
				struct annex_error **err)
{
	CLEANUP(download_clear) struct download download = {.root = -EBADF, .lock = -EBADF};
	auto_free char *folder = NULL, *deb = NULL;

	sweep_downloads(root);
	if (download_begin(&download, &folder, root, err) < 0 || apt_download(&deb, folder, progress, data, err) < 0)
		return -1;
	return install_deb(ret, root, deb, progress, data, err);
}

/* The first one installed becomes the default, and so does one when the default is gone. */
static int choose_default(const char *folder, const char *name, bool wanted, struct annex_error **err)
{
	auto_kernel struct kernel *current = NULL;

	if (!wanted && kernel_open(&current, folder, NULL, NULL) == 0)
		return 0;
	return kernel_record_write_default(folder, name, err);
}

int kernel_install(struct kernel **ret, const char *folder, const struct kernel_install_options *options,
		   kernel_progress_fn *progress, void *data, struct annex_error **err)
{
	auto_free char *name = NULL;
	int result;

	if ((options->deb && options->file) || (options->modules && !options->file))
		return fail(err, ANNEX_ERROR_USAGE, "a package, or a file and its modules can be installed, not both");
	if (options->deb)
		result = install_deb(&name, folder, options->deb, progress, data, err);
	else if (options->file)
		result = install_file(&name, folder, options->file, options->modules, progress, data, err);
	else
		result = install_distribution(&name, folder, progress, data, err);
	if (result < 0 || choose_default(folder, name, options->make_default, err) < 0)
		return -1;
	return kernel_open(ret, folder, name, err);
}
