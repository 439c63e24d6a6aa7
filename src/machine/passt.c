#include "machine/passt.h"

#include "base/spawn.h"

#include <stdlib.h>

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
