/*
 * Only what boot needs is inserted from the initramfs: what finds the disk, the control port and the network, and
 * serves entropy, memory and the host's files. Everything else the machine's own modprobe may load later. The archive
 * is not compressed: every kernel reads it so, and under emulation LZ4, gzip and zstd made no boot faster (a whole boot
 * took 1.33 to 1.49 s with each of them and without).
 */
#include "kernel/initramfs.h"

#include "kernel/cpio.h"
#include "kernel/elf.h"
#include "kernel/modules.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct need {
	const char *module;
	const char *why; /* NULL: the machine does without, where the kernel has none */
} needs[] = {
	{"virtio_pci", NULL}, /* one of the two buses: a kernel for microvm may have no PCI */
	{"virtio_mmio", NULL},      {"virtio_console", "the control port"},
	{"virtio_blk", "the disk"}, {"ext4", "the file system"},
	{"virtio_net", NULL},       {"virtio_rng", NULL},
	{"virtio_balloon", NULL},   {"virtio_mem", NULL},
	{"tcp_diag", NULL},         {"udp_diag", NULL}, /* what listens; else /proc/net tells */
	{"virtiofs", NULL},                             /* only machines without shares do without */
};

static int resolve(struct text_list *order, const char *folder, struct annex_error **err)
{
	auto_modules struct modules *modules = NULL;

	if (modules_open(&modules, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(needs); i++) {
		bool found = false;

		if (modules_add(modules, needs[i].module, order, &found, err) < 0)
			return fail_while(err, "%s", folder);
		if (!found && needs[i].why)
			return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: the kernel has no %s, which %s needs", folder,
				    needs[i].module, needs[i].why);
	}
	return 0;
}

static int add_module(struct cpio *cpio, struct text *list, int dir, const char *path, size_t number,
		      struct annex_error **err)
{
	auto_free char *bytes = NULL, *to = NULL;
	char name[MODULES_NAME_LIMIT];
	size_t size = 0;

	if (modules_read(&bytes, &size, dir, path, err) < 0)
		return -1;
	if (!elf_is(bytes, size) || !modules_name(name, path))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s is not a module", path);
	if (asprintf(&to, "modules/%03zu-%s.ko", number, name) < 0) {
		to = NULL;
		return fail_memory(err);
	}
	cpio_file(cpio, to, 0644, bytes, size);
	text_printf(list, "%s\n", to + strlen("modules/"));
	return 0;
}

static int add_modules(struct cpio *cpio, const char *folder, struct annex_error **err)
{
	auto_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_text_list struct text_list order = {0};
	auto_text struct text list = {0};

	if (dir < 0)
		return fail_os(err, errno, "cannot read %s", folder);
	if (resolve(&order, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < order.count; i++) {
		if (add_module(cpio, &list, dir, order.items[i], i + 1, err) < 0)
			return fail_while(err, "%s", folder);
	}
	if (!text_ok(&list))
		return fail_memory(err);
	cpio_file(cpio, "modules/order", 0644, list.data ? list.data : "", list.size);
	return 0;
}

int initramfs_make(char **ret, size_t *ret_size, const char *agent, size_t agent_size, const char *modules,
		   struct annex_error **err)
{
	static const char *const folders[] = {"dev", "proc", "sys", "root", "run", "modules"};
	auto_cpio struct cpio cpio = {0};

	for (size_t i = 0; i < COUNT_OF(folders); i++)
		cpio_folder(&cpio, folders[i], text_equal(folders[i], "root") ? 0700 : 0755);
	cpio_device(&cpio, "dev/console", S_IFCHR | 0600, 5, 1);
	cpio_file(&cpio, "init", 0755, agent, agent_size);
	if (modules && add_modules(&cpio, modules, err) < 0)
		return -1;
	if (!modules)
		cpio_file(&cpio, "modules/order", 0644, "", 0);
	if (cpio_finish(&cpio, err) < 0)
		return -1;
	*ret_size = cpio.bytes.size;
	*ret = text_take(&cpio.bytes);
	return 0;
}
