#include "base/time.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t time_monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t time_realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

const char *time_format(char buffer[TIME_BUFFER], int64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm broken;

	if (!gmtime_r(&when, &broken) || strftime(buffer, TIME_BUFFER, "%Y-%m-%dT%H:%M:%SZ", &broken) == 0)
		strcpy(buffer, "1970-01-01T00:00:00Z");
	return buffer;
}

/* Two or more digits at *at within bounds. */
static bool take_number(int *ret, const char **at, int digits, int lowest, int highest)
{
	int value = 0;

	for (int i = 0; i < digits; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret = value;
	return value >= lowest && value <= highest;
}

static bool take_char(const char **at, const char *any)
{
	if (!**at || !strchr(any, **at))
		return false;
	(*at)++;
	return true;
}

static bool take_date_and_time(struct tm *ret, const char **at)
{
	if (!take_number(&ret->tm_year, at, 4, 1900, 9999) || !take_char(at, "-") ||
	    !take_number(&ret->tm_mon, at, 2, 1, 12) || !take_char(at, "-") ||
	    !take_number(&ret->tm_mday, at, 2, 1, 31) || !take_char(at, "Tt ") ||
	    !take_number(&ret->tm_hour, at, 2, 0, 23) || !take_char(at, ":") ||
	    !take_number(&ret->tm_min, at, 2, 0, 59) || !take_char(at, ":") || !take_number(&ret->tm_sec, at, 2, 0, 60))
		return false;
	ret->tm_year -= 1900;
	ret->tm_mon -= 1;
	return true;
}

/* Seconds ahead of UTC. */
static bool take_zone(int *ret, const char **at)
{
	int hours, minutes;
	bool behind;

	*ret = 0;
	if (take_char(at, "Zz"))
		return true;
	behind = **at == '-';
	if (!take_char(at, "+-") || !take_number(&hours, at, 2, 0, 23) || !take_char(at, ":") ||
	    !take_number(&minutes, at, 2, 0, 59))
		return false;
	*ret = (behind ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

int time_parse(int64_t *ret, const char *text)
{
	struct tm broken = {0};
	const char *at = text;
	size_t fraction;
	int ahead;

	if (!take_date_and_time(&broken, &at))
		return -EINVAL;
	if (take_char(&at, ".")) {
		fraction = strspn(at, "0123456789");
		if (fraction == 0)
			return -EINVAL;
		at += fraction;
	}
	if (!take_zone(&ahead, &at) || *at)
		return -EINVAL;
	*ret = timegm(&broken) - ahead;
	return 0;
}

/* "2", "0.5", "1.25" in thousandths; -EINVAL unless between 0.001 and 1000. */
static int parse_scale(uint64_t *ret, const char *text)
{
	uint64_t digit = 100, thousandths = 0;
	size_t whole = strspn(text, "0123456789");

	if (whole < 1 || whole > 4)
		return -EINVAL;
	for (size_t i = 0; i < whole; i++)
		thousandths = thousandths * 10 + (uint64_t)(text[i] - '0') * 1000;
	text += whole;
	if (take_char(&text, ".")) {
		for (; *text >= '0' && *text <= '9'; text++, digit /= 10)
			thousandths += digit * (uint64_t)(*text - '0');
	}
	if (*text || thousandths < 1 || thousandths > 1000000)
		return -EINVAL;
	*ret = thousandths;
	return 0;
}

uint64_t time_scaled_ms(uint64_t ms, unsigned factor)
{
	const char *set = getenv("ANNEX_TIMEOUT_SCALE");
	uint64_t thousandths = 1000;

	if (set && parse_scale(&thousandths, set) < 0)
		thousandths = 1000;
	return ms * factor * thousandths / 1000;
}
