#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

/* The modules of a kernel and what each needs: the texts that depmod writes into lib/modules/RELEASE. */
#define MODULES_TEXT_LIMIT  (16u << 20) /* bytes of modules.dep and of each of the others */
#define MODULES_COUNT_LIMIT 65536u
#define MODULES_DEPTH_LIMIT 64u         /* of dependencies on dependencies */
#define MODULES_FILE_LIMIT  (64u << 20) /* bytes of a module, decompressed */

struct modules;

struct modules_texts {
	const char *dep;     /* modules.dep; NULL is empty, here and below */
	const char *builtin; /* modules.builtin */
	const char *softdep; /* modules.softdep */
	const char *alias;   /* modules.alias */
};

MUST_USE int modules_parse(struct modules **ret, const struct modules_texts *texts, struct annex_error **err);
/* Reads the texts of a folder lib/modules/RELEASE. Only modules.dep must be there, unless the folder has
 * modules.builtin. */
MUST_USE int modules_open(struct modules **ret, const char *folder, struct annex_error **err);
void modules_free(struct modules *modules);
static inline void cleanup_modules(struct modules **modules)
{
	modules_free(*modules);
}
#define auto_modules CLEANUP(cleanup_modules)

/*
 * Append to `order` the paths (relative to the folder) of a module and of all it needs, dependencies first, leaving out
 * what is built in and what earlier calls appended. *ret_found: it is a module or built in.
 */
MUST_USE int modules_add(struct modules *modules, const char *name, struct text_list *order, bool *ret_found,
			 struct annex_error **err);
/* As if nothing had been appended yet. */
void modules_rewind(struct modules *modules);
bool modules_is_builtin(const struct modules *modules, const char *name);

/* Does a path end in .ko, or that and .gz, .xz or .zst? */
bool modules_is_file(const char *path);
/* The module's name from its path: "kernel/fs/nls/nls_euc-jp.ko.xz" → "nls_euc_jp"; false when it is too long. */
#define MODULES_NAME_LIMIT 64
bool modules_name(char ret[MODULES_NAME_LIMIT], const char *path);
/* A module's file, decompressed if need be. The caller frees *ret. */
MUST_USE int modules_read(char **ret, size_t *ret_size, int dir, const char *path, struct annex_error **err);
