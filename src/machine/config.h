#pragma once
#include "base/error.h"

#include <stddef.h>

/*
 * The user's configuration, CONFIG/config.json: {"version": 1, "defaults": {KEY: VALUE, …}}, what new machines are set
 * to. docs/settings.md describes it.
 */
#define CONFIG_VERSION 1
#define CONFIG_LIMIT   (1u << 20) /* bytes of the file */

/* One of the settings that it gives, as settings_apply() takes it. */
struct config_entry {
	char *pair;
	unsigned line;
};

struct config {
	char *path;
	struct config_entry *entries; /* in the order of the file */
	size_t count;
};
void config_clear(struct config *config);
#define auto_config CLEANUP(config_clear)

/* `path` is for errors, which are CORRUPT and begin with "PATH:LINE: ". Only the values' types are checked, and that
 * paths don't depend on where they are read. */
MUST_USE int config_parse(struct config *ret, const char *bytes, size_t size, const char *path,
			  struct annex_error **err);
/* Of the folder of the configuration; no file is no entries. */
MUST_USE int config_load(struct config *ret, const char *folder, struct annex_error **err);
