#include "base/closest.h"

#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned closest_distance(const char *a, const char *b)
{
	unsigned cost[CLOSEST_MAX + 1][CLOSEST_MAX + 1];
	size_t rows = strlen(a), columns = strlen(b);

	if (rows > CLOSEST_MAX || columns > CLOSEST_MAX)
		return CLOSEST_MAX + 1;
	for (size_t i = 0; i <= rows; i++) {
		for (size_t j = 0; j <= columns; j++) {
			unsigned *best = &cost[i][j];

			if (i == 0 || j == 0) {
				*best = (unsigned)(i + j);
				continue;
			}
			*best = least(cost[i - 1][j] + 1, cost[i][j - 1] + 1);
			*best = least(*best, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				*best = least(*best, cost[i - 2][j - 2] + 1);
		}
	}
	return cost[rows][columns];
}

bool closest_is_near(const char *word, unsigned distance)
{
	return distance <= (strlen(word) < 6 ? 1 : 2);
}
