#pragma once
#include "base/text.h"
#include "json/json.h"

/* What a user can choose about a machine. One row per key drives parsing, checking, JSON and help. */
#define SETTING_CPUS_MAX        255u
#define SETTING_MEMORY_MIN      (96ull << 20) /* what an image of little more than an init boots in */
#define SETTING_DISK_MIN        (256ull << 20)
#define SETTING_DISK_MAX        (16ull << 40)
#define SETTING_ENVIRONMENT_MAX 1024u
#define SETTING_VOLUMES_MAX     64u
#define SETTING_ALLOW_MAX       256u
#define SETTING_MASKS_MAX       248u /* a share may have two names of each, and annex's own: see machine/share.c */

struct machine_settings {
	uint64_t cpus;
	uint64_t memory;              /* bytes */
	uint64_t disk;                /* bytes */
	char *home_mount;             /* "rw", "ro", "none" */
	char *home_target;            /* where the machine has the home; empty: at its own path */
	struct text_list volumes;     /* as volume_text() gives them, one for each place in the machine */
	struct text_list publish;     /* as publish_text() gives them; none needs the same socket as another */
	struct text_list environment; /* "K=V" */
	char *init;                   /* "auto", "image", "builtin" */
	char *kernel;                 /* a name, an absolute path, or "default" */
	char *accel;                  /* "auto", "kvm", "tcg" */
	char *network;                /* "auto", "passt", "slirp", "none", or the name of a network */
	struct text_list masks;       /* paths that the machine doesn't see, relative to the home */
	bool virtualization;
	bool autostart;         /* with the host, or as its user logs in */
	char *restart;          /* "no", "on-failure", "always" */
	char *ssh_agent;        /* "on", "off": whether sessions have the SSH agent of who runs them */
	bool service;           /* the built-in init runs the image's command */
	char *host_access;      /* "on", "off": whether what listens on the host's loopback can be reached */
	bool isolate;           /* see settings_isolate() */
	struct text_list allow; /* what an isolated machine reaches, as network/rule.h has it */
	char *ca;               /* "on", "off": whether the host's own CA certificates count in the machine */
};

void settings_clear(struct machine_settings *settings);
#define auto_settings CLEANUP(settings_clear)
MUST_USE int settings_copy(struct machine_settings *ret, const struct machine_settings *from, struct annex_error **err);

/* The host's processors, a quarter of its memory between 1 and 8 GiB, 64 GiB of disk; the home without what holds
 * secrets. */
MUST_USE int settings_default(struct machine_settings *ret, struct annex_error **err);

/* "key=value". env=K=V sets a variable, env=-K removes it; volume=HOST:GUEST… is one more, or takes the place of the
 * one at GUEST, volume=-GUEST removes it; mask=PATH is one more, mask=-PATH removes it; publish=PORT is one more, or
 * takes the place of the same port of the host, publish=-PORT removes it; allow=RULE is one more, allow=-RULE removes
 * it, allow=- all. USAGE with the reason, NOT_FOUND for a volume, mask, port or rule to remove that there isn't; the
 * settings are unchanged then. */
MUST_USE int settings_apply(struct machine_settings *settings, const char *pair, struct annex_error **err);

/* What an older annex hasn't written gets its default. */
MUST_USE int settings_decode(struct machine_settings *ret, const json_t *object, const char *what,
			     struct annex_error **err);
json_t *settings_encode(const struct machine_settings *settings);

/* Has it what says, by settings_encode(), that the machine is isolated? Then the others that this overrules get what is
 * in effect: no home, no SSH agent, no access to the host. What decides on these goes by `isolate` itself. */
void settings_isolate(json_t *settings);

/* Give `key` what it has in `from`. USAGE for one that doesn't exist. */
MUST_USE int settings_reset(struct machine_settings *settings, const struct machine_settings *from, const char *key,
			    struct annex_error **err);

/* Can a machine that runs take it over? */
bool setting_is_live(const char *key);

/* The keys in the order of the documentation; NULL past the end. */
const char *setting_key(size_t index);
const char *setting_help(size_t index);
/* The words that it takes, with a bar between them; NULL: others. */
const char *setting_words(size_t index);
bool setting_exists(const char *key);
/* Does a machine that runs need no restart for it? */
bool setting_is_at_once(const char *key);
/* May it be set more than once, each time with one more value? */
bool setting_is_list(const char *key);
