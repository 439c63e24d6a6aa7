#include "cli/closest.h"

#include "base/text.h"

#include <string.h>

const char *closest_option(const struct option *rows, const char *name)
{
	const char *best = NULL;
	unsigned nearest = CLOSEST_MAX + 1;

	for (const struct option *row = rows; row->type != OPTION_END; row++) {
		unsigned distance;

		if (!row->name)
			continue;
		distance = text_starts(row->name, name) && strlen(name) >= 2 ? 0 : closest_distance(row->name, name);
		if (distance < nearest) {
			nearest = distance;
			best = row->name;
		}
	}
	return best && closest_is_near(name, nearest) ? best : NULL;
}
