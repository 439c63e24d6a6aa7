/*
 * The kernels' folder. Readers take no lock: a kernel appears and changes by rename, its record is never written twice,
 * and what is gone between two steps is reported as gone. Names are releases, so they can be neither hidden nor lead
 * elsewhere.
 */
#include "kernel/kernel.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/vmlinux.h"
#include "kernel/initramfs.h"
#include "kernel/kmod.h"
#include "kernel/named.h"
#include "kernel/record.h"
#include "kernel/staging.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

enum { INITRAMFS_KEEP_S = 24 * 60 * 60 }; /* for a machine that is being started with another agent just now */

void kernel_free(struct kernel *kernel)
{
	if (!kernel)
		return;
	free(kernel->name);
	free(kernel->release);
	free(kernel->folder);
	free(kernel->vmlinux);
	free(kernel->image);
	free(kernel->modules);
	free(kernel->source);
	free(kernel);
}

void kernel_list_free(struct kernel **list, size_t count)
{
	for (size_t i = 0; list && i < count; i++)
		kernel_free(list[i]);
	free(list);
}

static int not_installed(struct annex_error **err, const char *name)
{
	fail(err, ANNEX_ERROR_NOT_FOUND, "there is no kernel '%.100s'", name);
	return fail_hint(err, "annex kernel list");
}

/* The kernel that is installed under that name. */
static int open_installed(struct kernel **ret, const char *folder, const char *name, struct annex_error **err)
{
	auto_free char *path = vmlinux_release_is_valid(name) ? path_join(folder, name) : NULL;
	auto_free char *chosen = NULL;
	auto_kernel_record struct kernel_record record = {0};
	auto_kernel struct kernel *kernel = NULL;

	if (!path || !file_exists(AT_FDCWD, path))
		return not_installed(err, name);
	if (kernel_record_read(&record, path, err) < 0 ||
	    kernel_record_to_kernel(&kernel, &record, name, path, err) < 0)
		goto damaged;
	if (!file_exists(AT_FDCWD, kernel->image)) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s is missing", kernel->image);
		goto damaged;
	}
	/* A damaged one matters to who asks for the default, and must not stand in the way of setting it. */
	kernel->is_default = kernel_record_read_default(&chosen, folder, NULL) == 0 && text_equal(chosen, name);
	*ret = TAKE(kernel);
	return 0;
damaged:
	return fail_hint(err, "annex kernel delete %s, then annex kernel install", name);
}

static int default_name(char **ret, const char *folder, struct annex_error **err)
{
	if (kernel_record_read_default(ret, folder, err) < 0)
		return -1;
	if (*ret)
		return 0;
	fail(err, ANNEX_ERROR_NOT_FOUND, "no kernel is installed");
	return fail_hint(err, "annex kernel install");
}

static int open_file(struct kernel **ret, const char *folder, const char *file, struct annex_error **err)
{
	auto_free char *path = NULL;
	auto_kernel_record struct kernel_record record = {0};

	if (named_install(&path, folder, file, err) < 0 || kernel_record_read(&record, path, err) < 0)
		return -1;
	return kernel_record_to_kernel(ret, &record, file, path, err);
}

int kernel_open(struct kernel **ret, const char *folder, const char *name, struct annex_error **err)
{
	auto_free char *chosen = NULL;

	if (name && strchr(name, '/'))
		return open_file(ret, folder, name, err);
	if (!name && default_name(&chosen, folder, err) < 0)
		return -1;
	return open_installed(ret, folder, name ? name : chosen, err);
}

static int no_modules(const char *name, const char *release, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: its disk driver virtio_blk is a module, and its modules are not found",
	     name);
	return fail_hint(err, "annex kernel install --file %s --modules …/lib/modules/%s", name, release);
}

/* A kernel file that a machine is to boot. */
static int check_file(const char *file, struct annex_error **err)
{
	auto_free char *bytes = NULL, *full = NULL, *modules = NULL;
	auto_vmlinux struct vmlinux image = {0};
	size_t size = 0;

	if (staging_read_file(&bytes, &size, file, err) < 0)
		return -1;
	if (vmlinux_parse(&image, bytes, size, vmlinux_host_machine(), err) < 0)
		return fail_while(err, "%s", file);
	full = realpath(file, NULL);
	if (!full)
		return fail_os(err, errno, "cannot resolve %s", file);
	if (named_find_modules(&modules, full, image.release, err) < 0)
		return -1;
	return modules || image.virtio ? 0 : no_modules(file, image.release, err);
}

int kernel_check(const char *folder, const char *name, struct annex_error **err)
{
	auto_kernel struct kernel *kernel = NULL;

	if (name && strchr(name, '/'))
		return check_file(name, err);
	return kernel_open(&kernel, folder, name, err);
}

static int compare(const void *a, const void *b)
{
	const struct kernel *const *left = a, *const *right = b;

	return strverscmp((*left)->name, (*right)->name);
}

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

/* Names of the folders that can be kernels; a folder that isn't there has none. */
static int list_names(struct text_list *ret, const char *folder, struct annex_error **err)
{
	CLEANUP(cleanup_folder) DIR *files = opendir(folder);
	struct dirent *entry;

	if (!files)
		return errno == ENOENT ? 0 : fail_os(err, errno, "cannot read %s", folder);
	while ((entry = readdir(files))) {
		struct stat st;

		if (!vmlinux_release_is_valid(entry->d_name) ||
		    fstatat(dirfd(files), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		if (text_list_add(ret, entry->d_name) < 0)
			return fail_memory(err);
	}
	return 0;
}

/* NULL in *ret when it was deleted meanwhile. */
static int list_one(struct kernel **ret, const char *folder, const char *name, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;
	auto_free char *path = path_join(folder, name);

	if (!path)
		return fail_memory(err);
	*ret = NULL;
	if (open_installed(ret, folder, name, &cause) == 0 || !file_exists(AT_FDCWD, path))
		return 0;
	return fail_relayed(err, annex_error_kind(cause), annex_error_errno(cause), annex_error_message(cause),
			    annex_error_hint(cause));
}

int kernel_list(struct kernel ***ret, size_t *ret_count, const char *folder, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	struct kernel **list;
	size_t count = 0;

	if (list_names(&names, folder, err) < 0)
		return -1;
	list = calloc(names.count + 1, sizeof(void *));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < names.count; i++) {
		if (list_one(&list[count], folder, names.items[i], err) < 0) {
			kernel_list_free(list, count);
			return -1;
		}
		count += list[count] != NULL;
	}
	qsort(list, count, sizeof(void *), compare);
	*ret = list;
	*ret_count = count;
	return 0;
}

int kernel_set_default(const char *folder, const char *name, struct annex_error **err)
{
	auto_kernel struct kernel *kernel = NULL;

	if (open_installed(&kernel, folder, name, err) < 0)
		return -1;
	return kernel_record_write_default(folder, name, err);
}

static int newest(char **ret, const char *folder, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	const char *best = NULL;

	if (list_names(&names, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		if (!best || strverscmp(names.items[i], best) > 0)
			best = names.items[i];
	}
	*ret = best ? strdup(best) : NULL;
	return best && !*ret ? fail_memory(err) : 0;
}

int kernel_delete(const char *folder, const char *name, struct annex_error **err)
{
	auto_free char *path = vmlinux_release_is_valid(name) ? path_join(folder, name) : NULL;
	auto_free char *chosen = NULL, *next = NULL;
	auto_staging struct staging staging = STAGING_NONE;

	if (!path || !file_exists(AT_FDCWD, path))
		return not_installed(err, name);
	if (staging_begin(&staging, folder, err) < 0)
		return -1;
	/* Out of sight at once; what it is moved onto goes with the staged folder. */
	if (rename(path, staging.path) < 0)
		return errno == ENOENT ? not_installed(err, name) : fail_os(err, errno, "cannot remove %s", path);
	if (kernel_record_read_default(&chosen, folder, NULL) == 0 && !text_equal(chosen, name))
		return 0;
	if (newest(&next, folder, err) < 0)
		return -1;
	return kernel_record_write_default(folder, next, err);
}

/* What an initramfs depends on: the agent, and for modules that are not ours to keep, their state. */
static int initramfs_name(char **ret, const struct kernel *kernel, const char *agent, size_t size,
			  struct annex_error **err)
{
	auto_text struct text key = {0};
	auto_free char *dep = kernel->modules ? path_join(kernel->modules, "modules.dep") : NULL;
	char digest[DIGEST_TEXT];
	struct stat st;

	if (kernel->modules && !dep)
		return fail_memory(err);
	digest_of(digest, agent, size);
	text_printf(&key, "2 %s %s", digest, kernel->modules ? kernel->modules : "");
	if (dep && stat(dep, &st) == 0)
		text_printf(&key, " %jd.%09ld", (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (!text_ok(&key))
		return fail_memory(err);
	digest_of(digest, key.data, key.size);
	if (asprintf(ret, "initramfs-%.16s", digest_hex(digest)) < 0)
		return fail_memory(err);
	return 0;
}

/* Of a kernel that was installed without depmod, or lies in a folder of its user's. */
static void index_modules(const struct kernel *kernel)
{
	auto_error struct annex_error *err = NULL;

	if (kernel->modules && !kmod_is_indexed(kernel->modules) && access(kernel->modules, W_OK) == 0 &&
	    kmod_index(kernel->modules, kernel->release, &err) < 0)
		log_debug("%s", annex_error_message(err));
}

static void remove_old_initramfs(int dir, const char *keep)
{
	CLEANUP(cleanup_folder) DIR *folder = NULL;
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;

	folder = copy < 0 ? NULL : fdopendir(copy);
	while (folder && (entry = readdir(folder))) {
		struct stat st;

		if (!text_starts(entry->d_name, "initramfs-") || text_starts(entry->d_name, keep) ||
		    fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (st.st_mtim.tv_sec + INITRAMFS_KEEP_S < time(NULL))
			unlinkat(dir, entry->d_name, 0);
	}
}

static int make_initramfs(int dir, const char *name, const struct kernel *kernel, const char *agent, size_t agent_size,
			  struct annex_error **err)
{
	auto_close int lock = file_lock(dir, "lock", LOCK_EX);
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result;

	if (lock < 0)
		return fail_os(err, lock, "cannot lock %s", kernel->folder);
	if (file_exists(dir, name))
		return 0;
	if (initramfs_make(&bytes, &size, agent, agent_size, kernel->modules, err) < 0)
		return -1;
	result = file_write_atomic(dir, name, bytes, size, 0644);
	if (result < 0)
		return fail_os(err, result, "cannot write %s/%s", kernel->folder, name);
	remove_old_initramfs(dir, name);
	return 0;
}

int kernel_initramfs(char **ret, const struct kernel *kernel, const char *agent_program, struct annex_error **err)
{
	auto_close int dir = open(kernel->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *agent = NULL, *name = NULL;
	size_t size = 0;
	int result;

	if (!kernel->modules && !kernel->has_virtio)
		return no_modules(kernel->name, kernel->release, err);
	if (dir < 0)
		return errno == ENOENT ? not_installed(err, kernel->name)
				       : fail_os(err, errno, "cannot open %s", kernel->folder);
	result = file_read(&agent, &size, AT_FDCWD, agent_program, INITRAMFS_AGENT_LIMIT);
	if (result < 0)
		return fail_os(err, result, "cannot read the guest program %s", agent_program);
	index_modules(kernel);
	if (initramfs_name(&name, kernel, agent, size, err) < 0)
		return -1;
	if (!file_exists(dir, name) && make_initramfs(dir, name, kernel, agent, size, err) < 0)
		return fail_while(err, "the initramfs for %s", kernel->name);
	*ret = path_join(kernel->folder, name);
	return *ret ? 0 : fail_memory(err);
}
