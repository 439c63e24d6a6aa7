#pragma once

#define USERNAME_MAX 32 /* bytes of a name: what utmp has room for */

/*
 * The name that somebody of the host's has in machines; the same for groups. Names of letters, digits, ".", "_" and "-"
 * stay as they are. Of "name@domain" and "DOMAIN\name" the name is taken; other bytes become "_"; what may not stand
 * first ("-", ".", or digits only) gets a "_" before it; and the rest behind USERNAME_MAX is cut off. `otherwise` if
 * nothing is left. The caller frees it; NULL when memory ran out. Pure.
 */
char *username_fit(const char *name, const char *otherwise);
