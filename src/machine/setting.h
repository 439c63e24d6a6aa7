#pragma once
#include "base/text.h"
#include "json/json.h"

/* What a user can choose about a machine. One row per key drives parsing, checking, JSON and help. */
#define SETTING_CPUS_MAX        255u
#define SETTING_MEMORY_MIN      (64ull << 20)
#define SETTING_DISK_MIN        (256ull << 20)
#define SETTING_DISK_MAX        (16ull << 40)
#define SETTING_ENVIRONMENT_MAX 1024u

struct machine_settings {
	uint64_t cpus;
	uint64_t memory;              /* bytes */
	uint64_t disk;                /* bytes */
	struct text_list environment; /* "K=V" */
	char *init;                   /* "auto", "image", "builtin" */
	char *kernel;                 /* a name, an absolute path, or "default" */
	char *accel;                  /* "auto", "kvm", "tcg" */
	char *network;                /* "auto", "slirp", "none" */
	bool virtualization;
};

void settings_clear(struct machine_settings *settings);
#define auto_settings CLEANUP(settings_clear)
MUST_USE int settings_copy(struct machine_settings *ret, const struct machine_settings *from, struct annex_error **err);

/* The host's processors, a quarter of its memory between 1 and 8 GiB, 64 GiB of disk. */
MUST_USE int settings_default(struct machine_settings *ret, struct annex_error **err);

/* "key=value"; env=K=V sets a variable, env=-K removes it. USAGE with the reason; the settings are unchanged then. */
MUST_USE int settings_apply(struct machine_settings *settings, const char *pair, struct annex_error **err);

MUST_USE int settings_decode(struct machine_settings *ret, const json_t *object, const char *what,
			     struct annex_error **err);
json_t *settings_encode(const struct machine_settings *settings);

/* The keys in the order of the documentation; NULL past the end. */
const char *setting_key(size_t index);
const char *setting_help(size_t index);
