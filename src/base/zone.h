#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Names and rules of time zones, as they come from the other side. Pure. */
#define ZONE_FOLDER   "/usr/share/zoneinfo"
#define ZONE_NAME_MAX 64u
#define ZONE_RULE_MAX 128u
#define ZONE_FILE_MAX (64u << 10) /* bytes of a file in there */

/* "Europe/Berlin": a path below ZONE_FOLDER that leads nowhere else. */
bool zone_is_name(const char *text);
/* "CET-1CEST,M3.5.0,M10.5.0/3": as far as that can be told without knowing each of its numbers. */
bool zone_is_rule(const char *text);
/* The name in what /etc/localtime leads to, pointing into it; NULL: it has none. */
const char *zone_of_path(const char *path);
/* The rule at the end of a zone's file (RFC 9636), for all time to come; false: there is none. */
bool zone_rule_of(char ret[ZONE_RULE_MAX + 1], const void *bytes, size_t size);
