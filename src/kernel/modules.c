/*
 * Which modules a module needs, and in which order they are inserted.
 *
 * The names of modules have `-` and `_` for the same; all names here are in the canonical form with `_`. modules.dep
 * has one line for each module file, "path: path…". modules.softdep names modules (or aliases, such as crc32c for
 * whichever module implements it) that should be there before, "softdep NAME pre: … post: …"; those that don't exist
 * are passed over. An order is a depth-first walk, each module once; a dependency on itself by a detour ends there.
 */
#include "kernel/modules.h"

#include "base/file.h"
#include "kernel/decompress.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct module {
	char name[MODULES_NAME_LIMIT];
	const char *path;
	char *needs; /* the rest of its line */
	bool added;
};

struct modules {
	char *dep, *softdep, *alias; /* the texts, cut into lines' fields by NULs */
	struct module *items;        /* by name */
	size_t count;
	struct text_list builtin; /* canonical names, sorted */
	struct text_list soft;    /* "NAME pre: … post: …", as the text has them */
};

bool modules_is_file(const char *path)
{
	return text_ends(path, ".ko") || text_ends(path, ".ko.gz") || text_ends(path, ".ko.xz") ||
	       text_ends(path, ".ko.zst");
}

bool modules_name(char ret[MODULES_NAME_LIMIT], const char *path)
{
	const char *name = path_name(path);
	const char *end = strstr(name, ".ko");
	size_t length = end ? (size_t)(end - name) : strlen(name);

	if (length == 0 || length >= MODULES_NAME_LIMIT)
		return false;
	for (size_t i = 0; i < length; i++)
		ret[i] = name[i] == '-' ? '_' : name[i];
	ret[length] = '\0';
	return true;
}

void modules_free(struct modules *modules)
{
	if (!modules)
		return;
	free(modules->dep);
	free(modules->softdep);
	free(modules->alias);
	free(modules->items);
	text_list_clear(&modules->builtin);
	text_list_clear(&modules->soft);
	free(modules);
}

static int compare_modules(const void *a, const void *b)
{
	return strcmp(((const struct module *)a)->name, ((const struct module *)b)->name);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct module *find(const struct modules *modules, const char *name)
{
	struct module key;

	if (!modules->count || !modules_name(key.name, name))
		return NULL;
	return bsearch(&key, modules->items, modules->count, sizeof(key), compare_modules);
}

bool modules_is_builtin(const struct modules *modules, const char *name)
{
	char canonical[MODULES_NAME_LIMIT];
	const char *key = canonical;

	if (!modules->builtin.count || !modules_name(canonical, name))
		return false;
	return bsearch(&key, modules->builtin.items, modules->builtin.count, sizeof(key), compare_texts);
}

static size_t count_lines(const char *text)
{
	size_t lines = 1;

	while ((text = strchr(text, '\n'))) {
		text++;
		lines++;
	}
	return lines;
}

/* A path from a file that was handed to us becomes part of a path that is opened. */
static bool is_inside(const char *path)
{
	if (*path == '/' || *path == '\0')
		return false;
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (text_equal(at, "..") || text_starts(at, "../"))
			return false;
	}
	return true;
}

static int parse_dep(struct modules *modules, struct annex_error **err)
{
	size_t lines = count_lines(modules->dep);
	char *at = modules->dep, *line;

	if (lines > MODULES_COUNT_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "modules.dep: more than %u modules", MODULES_COUNT_LIMIT);
	modules->items = calloc(lines, sizeof(*modules->items));
	if (!modules->items)
		return fail_memory(err);
	while ((line = strsep(&at, "\n"))) {
		struct module *module = &modules->items[modules->count];
		char *colon = strchr(line, ':');

		if (!*line)
			continue;
		if (!colon)
			return fail(err, ANNEX_ERROR_CORRUPT, "modules.dep: a line without a colon");
		*colon = '\0';
		if (!is_inside(line) || !modules_is_file(line) || !modules_name(module->name, line))
			return fail(err, ANNEX_ERROR_CORRUPT, "modules.dep: '%.80s' is not a module", line);
		module->path = line;
		module->needs = colon + 1;
		modules->count++;
	}
	if (modules->count)
		qsort(modules->items, modules->count, sizeof(*modules->items), compare_modules);
	return 0;
}

static int parse_builtin(struct modules *modules, const char *text, struct annex_error **err)
{
	auto_free char *copy = strdup(text);
	char *at = copy, *line, name[MODULES_NAME_LIMIT];

	if (!copy)
		return fail_memory(err);
	while ((line = strsep(&at, "\n"))) {
		if (!modules_name(name, line))
			continue;
		if (modules->builtin.count == MODULES_COUNT_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "modules.builtin: more than %u modules",
				    MODULES_COUNT_LIMIT);
		if (text_list_add(&modules->builtin, name) < 0)
			return fail_memory(err);
	}
	if (modules->builtin.count)
		qsort(modules->builtin.items, modules->builtin.count, sizeof(char *), compare_texts);
	return 0;
}

static int parse_softdep(struct modules *modules, const char *text, struct annex_error **err)
{
	auto_free char *copy = strdup(text);
	char *at = copy, *line;

	if (!copy)
		return fail_memory(err);
	while ((line = strsep(&at, "\n"))) {
		if (!text_starts(line, "softdep "))
			continue;
		if (modules->soft.count == MODULES_COUNT_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "modules.softdep: more than %u lines",
				    MODULES_COUNT_LIMIT);
		if (text_list_add(&modules->soft, line + strlen("softdep ")) < 0)
			return fail_memory(err);
	}
	return 0;
}

int modules_parse(struct modules **ret, const struct modules_texts *texts, struct annex_error **err)
{
	auto_modules struct modules *modules = calloc(1, sizeof(*modules));

	if (!modules)
		return fail_memory(err);
	modules->dep = strdup(texts->dep ? texts->dep : "");
	modules->alias = strdup(texts->alias ? texts->alias : "");
	if (!modules->dep || !modules->alias)
		return fail_memory(err);
	if (parse_dep(modules, err) < 0 || parse_builtin(modules, texts->builtin ? texts->builtin : "", err) < 0 ||
	    parse_softdep(modules, texts->softdep ? texts->softdep : "", err) < 0)
		return -1;
	*ret = TAKE(modules);
	return 0;
}

void modules_rewind(struct modules *modules)
{
	for (size_t i = 0; i < modules->count; i++)
		modules->items[i].added = false;
}

static int add(struct modules *modules, struct module *module, struct text_list *order, unsigned depth,
	       struct annex_error **err);

/* The module that has an alias without wildcards: "alias crc32c crc32c_intel". Later lines are of better ones as often
 * as not, so all are wanted. */
static int add_alias(struct modules *modules, const char *alias, struct text_list *order, unsigned depth,
		     struct annex_error **err)
{
	auto_free char *start = NULL;
	const char *line = modules->alias;

	if (asprintf(&start, "alias %s ", alias) < 0) {
		start = NULL;
		return fail_memory(err);
	}
	for (; line; line = strchr(line, '\n')) {
		char name[MODULES_NAME_LIMIT];
		struct module *module;
		size_t length;

		line += *line == '\n';
		if (!text_starts(line, start))
			continue;
		length = strcspn(line + strlen(start), "\n");
		if (length >= sizeof(name))
			continue;
		memcpy(name, line + strlen(start), length);
		name[length] = '\0';
		module = find(modules, name);
		if (module && add(modules, module, order, depth, err) < 0)
			return -1;
	}
	return 0;
}

/* `line` is "NAME pre: a b post: c"; only what comes before matters. */
static int add_soft(struct modules *modules, const char *line, struct text_list *order, unsigned depth,
		    struct annex_error **err)
{
	auto_free char *copy = strdup(line);
	char *at = copy, *word;
	bool before = false;

	if (!copy)
		return fail_memory(err);
	while ((word = strsep(&at, " \t"))) {
		struct module *module = find(modules, word);
		int result = 0;

		if (text_ends(word, ":"))
			before = text_equal(word, "pre:");
		else if (before && module)
			result = add(modules, module, order, depth, err);
		else if (before && *word && !modules_is_builtin(modules, word))
			result = add_alias(modules, word, order, depth, err);
		if (result < 0)
			return -1;
	}
	return 0;
}

static int add_softs(struct modules *modules, const char *name, struct text_list *order, unsigned depth,
		     struct annex_error **err)
{
	for (size_t i = 0; i < modules->soft.count; i++) {
		const char *line = modules->soft.items[i];
		char who[MODULES_NAME_LIMIT] = {0};
		size_t length = strcspn(line, " \t");

		if (length >= sizeof(who))
			continue;
		for (size_t k = 0; k < length; k++)
			who[k] = line[k] == '-' ? '_' : line[k];
		if (text_equal(who, name) && add_soft(modules, line + length, order, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int add_needs(struct modules *modules, struct module *module, struct text_list *order, unsigned depth,
		     struct annex_error **err)
{
	auto_free char *copy = strdup(module->needs);
	auto_text_list struct text_list needs = {0};
	char *at = copy, *path;

	if (!copy)
		return fail_memory(err);
	while ((path = strsep(&at, " \t"))) {
		if (*path && text_list_add(&needs, path) < 0)
			return fail_memory(err);
	}
	for (size_t i = needs.count; i > 0; i--) { /* depmod lists what is inserted first last */
		struct module *needed = find(modules, needs.items[i - 1]);

		if (!needed && !modules_is_builtin(modules, needs.items[i - 1]))
			return fail(err, ANNEX_ERROR_CORRUPT, "modules.dep: %s needs %.80s, which is not there",
				    module->path, needs.items[i - 1]);
		if (needed && add(modules, needed, order, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int add(struct modules *modules, struct module *module, struct text_list *order, unsigned depth,
	       struct annex_error **err)
{
	if (module->added)
		return 0;
	module->added = true;
	if (depth == MODULES_DEPTH_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "modules.dep: dependencies are nested too deep");
	if (add_softs(modules, module->name, order, depth + 1, err) < 0 ||
	    add_needs(modules, module, order, depth + 1, err) < 0)
		return -1;
	return text_list_add(order, module->path) < 0 ? fail_memory(err) : 0;
}

int modules_add(struct modules *modules, const char *name, struct text_list *order, bool *ret_found,
		struct annex_error **err)
{
	struct module *module = find(modules, name);
	bool found = true;

	if (module) {
		if (add(modules, module, order, 0, err) < 0)
			return -1;
	} else {
		found = modules_is_builtin(modules, name);
	}
	*ret_found = found;
	return 0;
}

static int read_text(char **ret, const char *folder, const char *name, bool *ret_there, struct annex_error **err)
{
	auto_free char *path = path_join(folder, name);
	size_t size = 0;
	int result;

	if (!path)
		return fail_memory(err);
	result = file_read(ret, &size, AT_FDCWD, path, MODULES_TEXT_LIMIT);
	*ret_there = result == 0;
	if (result < 0 && result != -ENOENT)
		return fail_os(err, result, "cannot read %s", path);
	return 0;
}

int modules_open(struct modules **ret, const char *folder, struct annex_error **err)
{
	auto_free char *dep = NULL, *builtin = NULL, *softdep = NULL, *alias = NULL;
	bool has_dep = false, has_builtin = false, has_other = false;

	if (read_text(&dep, folder, "modules.dep", &has_dep, err) < 0 ||
	    read_text(&builtin, folder, "modules.builtin", &has_builtin, err) < 0 ||
	    read_text(&softdep, folder, "modules.softdep", &has_other, err) < 0 ||
	    read_text(&alias, folder, "modules.alias", &has_other, err) < 0)
		return -1;
	if (!has_dep && !has_builtin) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "%s holds no modules.dep", folder);
		return fail_hint(err, "write it with 'depmod', or name another folder of modules");
	}
	if (modules_parse(ret, &(struct modules_texts){dep, builtin, softdep, alias}, err) < 0)
		return fail_while(err, "%s", folder);
	return 0;
}

int modules_read(char **ret, size_t *ret_size, int dir, const char *path, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, dir, path, MODULES_FILE_LIMIT);

	if (result < 0)
		return fail_os(err, result, "cannot read the module %s", path);
	if (decompress_format(bytes, size) == DECOMPRESS_NONE) {
		*ret = TAKE(bytes);
		*ret_size = size;
		return 0;
	}
	if (decompress_bytes(ret, ret_size, bytes, size, MODULES_FILE_LIMIT, err) < 0)
		return fail_while(err, "the module %s", path);
	return 0;
}
