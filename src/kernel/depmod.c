/*
 * The part of depmod that boot and a modprobe by text need.
 *
 * Each module says in its .modinfo section, NUL-terminated "key=value" texts, which modules it needs ("depends=a,b", by
 * name), which it wants ("softdep=pre: a"), and what else it is called ("alias="). The first draft of modules.dep has
 * what modules say themselves; then the order in which each one's needs are inserted is worked out by kernel/modules.c,
 * and the file that is written has all of them, last one first, as depmod has it.
 */
#include "kernel/depmod.h"

#include "base/file.h"
#include "base/text.h"
#include "kernel/elf.h"
#include "kernel/modules.h"
#include "kernel/filetree.h"

#include <fcntl.h>
#include <string.h>

struct index {
	int dir;
	struct text_list paths; /* of modules, sorted by name */
	struct text draft, dep, softdep, alias;
};

static void index_clear(struct index *index)
{
	cleanup_close(&index->dir);
	text_list_clear(&index->paths);
	text_clear(&index->draft);
	text_clear(&index->dep);
	text_clear(&index->softdep);
	text_clear(&index->alias);
}

static int compare_names(const void *a, const void *b)
{
	char left[MODULES_NAME_LIMIT] = {0}, right[MODULES_NAME_LIMIT] = {0};

	modules_name(left, *(char *const *)a);
	modules_name(right, *(char *const *)b);
	return strcmp(left, right);
}

static int list_modules(struct index *index, const char *folder, struct annex_error **err)
{
	auto_text_list struct text_list files = {0};

	index->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (index->dir < 0)
		return fail_os(err, errno, "cannot read %s", folder);
	if (filetree_list(&files, index->dir, err) < 0)
		return fail_while(err, "%s", folder);
	for (size_t i = 0; i < files.count; i++) {
		char name[MODULES_NAME_LIMIT];

		if (!modules_is_file(files.items[i]))
			continue;
		if (!modules_name(name, files.items[i]) || strpbrk(files.items[i], " \t\n:"))
			return fail(err, ANNEX_ERROR_CORRUPT, "a module has the name '%.80s'", files.items[i]);
		if (text_list_add(&index->paths, files.items[i]) < 0)
			return fail_memory(err);
	}
	if (index->paths.count)
		qsort(index->paths.items, index->paths.count, sizeof(char *), compare_names);
	return 0;
}

static const char *find_path(const struct index *index, const char *name)
{
	char **found = NULL;

	if (index->paths.count)
		found = bsearch(&name, index->paths.items, index->paths.count, sizeof(char *), compare_names);
	return found ? *found : NULL;
}

/* A module that is named and does not exist is built in. */
static int add_depends(struct index *index, const char *depends, struct annex_error **err)
{
	auto_free char *copy = strdup(depends);
	char *at = copy, *name;

	if (!copy)
		return fail_memory(err);
	while ((name = strsep(&at, ","))) {
		const char *path = *name ? find_path(index, name) : NULL;

		if (path)
			text_printf(&index->draft, " %s", path);
	}
	return 0;
}

static int add_line(struct index *index, const char *name, const char *line, struct annex_error **err)
{
	if (strpbrk(line, "\n"))
		return 0;
	if (text_starts(line, "depends="))
		return add_depends(index, line + strlen("depends="), err);
	if (text_starts(line, "softdep="))
		text_printf(&index->softdep, "softdep %s %s\n", name, line + strlen("softdep="));
	if (text_starts(line, "alias="))
		text_printf(&index->alias, "alias %s %s\n", line + strlen("alias="), name);
	return 0;
}

static int read_modinfo(char **ret, const char **ret_info, size_t *ret_size, int dir, const char *path,
			struct annex_error **err)
{
	size_t size = 0;

	if (modules_read(ret, &size, dir, path, err) < 0)
		return -1;
	if (!elf_section(ret_info, ret_size, *ret, size, ".modinfo"))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s is not a module", path);
	return 0;
}

static int add_module(struct index *index, const char *path, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	const char *info = NULL, *end;
	char name[MODULES_NAME_LIMIT];
	size_t size = 0;

	if (read_modinfo(&bytes, &info, &size, index->dir, path, err) < 0)
		return -1;
	modules_name(name, path);
	text_printf(&index->draft, "%s:", path);
	for (; (end = memchr(info, '\0', size)); info = end + 1) {
		size -= (size_t)(end - info) + 1;
		if (add_line(index, name, info, err) < 0)
			return -1;
	}
	text_add_char(&index->draft, '\n');
	return text_ok(&index->draft) && text_ok(&index->softdep) && text_ok(&index->alias) ? 0 : fail_memory(err);
}

/* From what each needs itself to all that it needs. */
static int complete(struct index *index, struct annex_error **err)
{
	auto_modules struct modules *modules = NULL;

	if (modules_parse(&modules, &(struct modules_texts){.dep = index->draft.data}, err) < 0)
		return -1;
	for (size_t i = 0; i < index->paths.count; i++) {
		auto_text_list struct text_list order = {0};
		bool found;

		modules_rewind(modules);
		if (modules_add(modules, index->paths.items[i], &order, &found, err) < 0)
			return -1;
		text_printf(&index->dep, "%s:", index->paths.items[i]);
		for (size_t k = order.count; k > 1; k--) /* the last is the module itself */
			text_printf(&index->dep, " %s", order.items[k - 2]);
		text_add_char(&index->dep, '\n');
	}
	return text_ok(&index->dep) ? 0 : fail_memory(err);
}

static int write_text(const struct index *index, const char *name, const struct text *text, struct annex_error **err)
{
	int result = file_write_atomic(index->dir, name, text->data ? text->data : "", text->size, 0644);

	return result < 0 ? fail_os(err, result, "cannot write %s", name) : 0;
}

int depmod_write(const char *folder, struct annex_error **err)
{
	CLEANUP(index_clear) struct index index = {.dir = -1};

	if (list_modules(&index, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < index.paths.count; i++) {
		if (add_module(&index, index.paths.items[i], err) < 0)
			return -1;
	}
	if (complete(&index, err) < 0)
		return -1;
	if (write_text(&index, "modules.softdep", &index.softdep, err) < 0 ||
	    write_text(&index, "modules.alias", &index.alias, err) < 0)
		return -1;
	return write_text(&index, "modules.dep", &index.dep, err); /* last: its presence means that all are there */
}

int depmod_check_release(const char *folder, const char *release, struct annex_error **err)
{
	CLEANUP(index_clear) struct index index = {.dir = -1};
	auto_free char *bytes = NULL;
	const char *info = NULL, *end;
	size_t size = 0;

	if (list_modules(&index, folder, err) < 0)
		return -1;
	if (index.paths.count == 0)
		return 0;
	if (read_modinfo(&bytes, &info, &size, index.dir, index.paths.items[0], err) < 0)
		return -1;
	for (; (end = memchr(info, '\0', size)); info = end + 1) {
		const char *magic = info + strlen("vermagic=");
		size_t length;

		size -= (size_t)(end - info) + 1;
		if (!text_starts(info, "vermagic="))
			continue;
		length = strcspn(magic, " ");
		if (strlen(release) == length && strncmp(magic, release, length) == 0)
			return 0;
		return fail(err, ANNEX_ERROR_USAGE, "the modules are for kernel %.*s, not for %s", (int)length, magic,
			    release);
	}
	return 0;
}
