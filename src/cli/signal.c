#include "cli/signal.h"

#include "base/text.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

enum { RT_FIRST = 34, RT_LAST = 64 }; /* Linux numbers, of what the C library leaves */

const char *signal_name(int number)
{
	const char *name = number > 0 && number < SIGNAL_NAMES ? sigabbrev_np(number) : NULL;

	return name ? name : number < SIGNAL_NAMES ? "" : NULL;
}

/* "RTMIN+3", "RTMAX-1". */
static int parse_real_time(const char *text)
{
	bool from_first = strncasecmp(text, "RTMIN", 5) == 0;
	uint32_t offset = 0;

	if (!from_first && strncasecmp(text, "RTMAX", 5) != 0)
		return 0;
	text += 5;
	if (*text && (*text != (from_first ? '+' : '-') || text_to_u32(&offset, text + 1, 10) < 0))
		return 0;
	if (offset > RT_LAST - RT_FIRST)
		return 0;
	return from_first ? RT_FIRST + (int)offset : RT_LAST - (int)offset;
}

int signal_parse(int *ret, const char *text, struct annex_error **err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint32_t number = 0;
	int found = 0;

	if (text_to_u32(&number, text, 10) == 0)
		found = number <= RT_LAST ? (int)number : 0;
	else
		found = parse_real_time(name);
	for (int i = 1; i < SIGNAL_NAMES && !found; i++)
		found = *signal_name(i) && strcasecmp(signal_name(i), name) == 0 ? i : 0;
	if (!found) {
		fail(err, ANNEX_ERROR_USAGE, "there is no signal '%s'", text);
		return fail_hint(err, "such as TERM, KILL or HUP");
	}
	*ret = found;
	return 0;
}
