#include "lib/defaults.h"

#include "base/text.h"
#include "lib/share.h"
#include "machine/config.h"

#include <string.h>

static int apply_entry(struct machine_settings *settings, const struct config *config, const struct config_entry *entry,
		       struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;
	auto_free char *pair = NULL;

	if (share_setting(&pair, entry->pair, &cause) == 0 && settings_apply(settings, pair, &cause) == 0)
		return 0;
	/* CORRUPT whatever it is: nobody asked for this on the command line. */
	fail(err, ANNEX_ERROR_CORRUPT, "%s:%u: %s", config->path, entry->line, annex_error_message(cause));
	return annex_error_hint(cause) ? fail_hint(err, "%s", annex_error_hint(cause)) : -1;
}

int defaults_load(struct machine_settings *ret, const struct annex_context *context, struct annex_error **err)
{
	auto_settings struct machine_settings made = {0};
	auto_config struct config config = {0};

	if (config_load(&config, context->config, err) < 0 || settings_default(&made, err) < 0)
		return -1;
	for (size_t i = 0; i < config.count; i++) {
		if (apply_entry(&made, &config, &config.entries[i], err) < 0)
			return -1;
	}
	*ret = made;
	made = (struct machine_settings){0};
	return 0;
}

/* "KEY=default". The kernel has a word of its own for what is chosen at each start. */
static bool puts_back(const char *pair)
{
	const char *value = strchr(pair, '=');

	return value && strcmp(value, "=default") == 0 && !text_starts(pair, "kernel=");
}

static int put_back(struct machine_settings *settings, const struct annex_context *context, const char *pair,
		    struct annex_error **err)
{
	auto_settings struct machine_settings defaults = {0};
	auto_free char *key = strndup(pair, strcspn(pair, "="));

	if (!key)
		return fail_memory(err);
	return defaults_load(&defaults, context, err) < 0 ? -1 : settings_reset(settings, &defaults, key, err);
}

static int apply_pair(struct machine_settings *settings, const char *pair, struct annex_error **err)
{
	auto_free char *absolute = NULL;

	return share_setting(&absolute, pair, err) < 0 ? -1 : settings_apply(settings, absolute, err);
}

/* What contradicts itself in one command; a target that is kept while there is no home waits for it to come back. */
static int check_home(const struct machine_settings *settings, const char *const *pairs, struct annex_error **err)
{
	if (strcmp(settings->home_mount, "none") != 0 || !*settings->home_target)
		return 0;
	for (; *pairs; pairs++) {
		if (!text_starts(*pairs, "home-target=/"))
			continue;
		fail(err, ANNEX_ERROR_USAGE, "%s: there is no home to put there, by home-mount=none", *pairs);
		return fail_hint(err, "home-mount=rw or home-mount=ro gives the machine the home");
	}
	return 0;
}

/* What is overruled, or means nothing, and was asked for in the same breath. */
static int check_isolation(const struct machine_settings *settings, const char *const *pairs, struct annex_error **err)
{
	static const char *const overruled[] = {"home-mount=rw", "home-mount=ro", "host-access=on", "ssh-agent=on"};
	const char *allow = NULL, *contrary = NULL;
	bool isolates = false;

	for (; *pairs; pairs++) {
		isolates |= text_starts(*pairs, "isolate=");
		for (size_t i = 0; i < COUNT_OF(overruled); i++) {
			if (strcmp(*pairs, overruled[i]) == 0)
				contrary = *pairs;
		}
		if (text_starts(*pairs, "allow=") && (*pairs)[strlen("allow=")] != '-')
			allow = *pairs;
	}
	if (isolates && settings->isolate && contrary) {
		fail(err, ANNEX_ERROR_USAGE,
		     "%s: an isolated machine has no home, no SSH agent and no access to this host", contrary);
		return fail_hint(err, "leave out one of %s and isolate", contrary);
	}
	if (allow && !settings->isolate) {
		fail(err, ANNEX_ERROR_USAGE, "%s: the machine is not isolated, and reaches everything", allow);
		return fail_hint(err, "isolate=true (create: --isolate) leaves it nothing but what is allowed");
	}
	return 0;
}

int defaults_apply(struct machine_settings *settings, const struct annex_context *context, const char *const *pairs,
		   struct annex_error **err)
{
	for (size_t i = 0; pairs && pairs[i]; i++) {
		int result = puts_back(pairs[i]) ? put_back(settings, context, pairs[i], err)
						 : apply_pair(settings, pairs[i], err);

		if (result < 0)
			return -1;
	}
	if (!pairs)
		return 0;
	return check_home(settings, pairs, err) < 0 ? -1 : check_isolation(settings, pairs, err);
}
