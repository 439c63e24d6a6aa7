#include "machine/passt.h"

#include "base/spawn.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int machine_passt_find(char **ret, struct annex_error **err)
{
	const char *set = getenv(MACHINE_PASST_VARIABLE);

	*ret = spawn_find(set && *set ? set : "passt");
	if (*ret)
		return 0;
	if (set && *set) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "no passt at %s", set);
		return fail_hint(err, "unset " MACHINE_PASST_VARIABLE ", or let it name the program");
	}
	fail(err, ANNEX_ERROR_NOT_FOUND, "passt is not installed");
	return fail_hint(err, "install the package passt (sudo apt-get install passt; Fedora: sudo dnf install passt)");
}

uint32_t machine_passt_version(const char *said)
{
	const char *at = text_starts(said, "passt ") ? said + strlen("passt ") : "";
	unsigned digits = 0;
	uint32_t date = 0;

	if (text_starts(at, "0.0~git"))
		at += strlen("0.0~git");
	for (; digits < 8 && (isdigit((unsigned char)*at) || (*at == '_' && (digits == 4 || digits == 6))); at++) {
		if (*at == '_')
			continue;
		date = 10 * date + (uint32_t)(*at - '0');
		digits++;
	}
	return digits == 8 && !isdigit((unsigned char)*at) ? date : 0;
}

int machine_passt_check(const char *program, struct annex_error **err)
{
	const char *const argv[] = {program, "--version", NULL};
	auto_free char *said = NULL, *version = NULL;
	int status;

	if (spawn_capture(&said, NULL, &status, argv, 4096, err) < 0)
		return -1;
	if (machine_passt_version(said) >= MACHINE_PASST_GOOD)
		return 0;
	said[strcspn(said, "\n")] = '\0';
	version = text_clean(text_starts(said, "passt ") ? said + strlen("passt ") : "", 60);
	fail(err, ANNEX_ERROR_UNSUPPORTED, "passt (%s) loses data of connections that one side has ended",
	     version && *version ? version : "unknown version");
	return fail_hint(err, "install passt 2025_09_11 or later; network=passt takes this one all the same");
}
