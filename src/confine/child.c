#include "confine/child.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define COMPLAINT_LIMIT 4096

const char *const *child_environment(struct text_list *list)
{
	static const char *const kept[] = {"ANNEX_DEBUG", "ASAN_OPTIONS",    "UBSAN_OPTIONS",
					   "LD_PRELOAD",  "LD_LIBRARY_PATH", "GLIBC_TUNABLES"};

	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value && text_list_printf(list, "%s=%s", kept[i], value) < 0)
			return NULL;
	}
	/* A list that nothing was added to has no items. */
	if (list->count == 0 && text_list_add(list, "LC_ALL=C") < 0)
		return NULL;
	return (const char *const *)list->items;
}

char *child_complaint(const char *said)
{
	auto_free char *copy = said ? strdup(said) : NULL;
	char *left = copy, *line, *found = NULL;

	while (left && (line = strsep(&left, "\n"))) {
		bool says = strpbrk(line, "abcdefghijklmnopqrstuvwxyz") && !text_starts(line, "annex[");

		if (says)
			found = line;
		if (says && strcasestr(line, "error"))
			break;
	}
	return found ? strndup(found, COMPLAINT_LIMIT) : NULL;
}

int child_death(const char *program, int status, const char *said, const char *distrust, struct annex_error **err)
{
	const char *between = said ? ": " : "", *more = said ? said : "";

	if (!WIFSIGNALED(status))
		return fail(err, ANNEX_ERROR_SYSTEM, "%s ended with status %d%s%s", program, WEXITSTATUS(status),
			    between, more);
	fail(err, ANNEX_ERROR_SYSTEM, "%s was killed by signal %d (%s)%s%s", program, WTERMSIG(status),
	     strsignal(WTERMSIG(status)), between, more);
	if (WTERMSIG(status) == SIGSYS)
		return fail_hint(err, "it tried what its confinement forbids: %s", distrust);
	if (WTERMSIG(status) == SIGKILL)
		return fail_hint(err, "if the host ran out of memory, its kernel says so: dmesg");
	return -1;
}
