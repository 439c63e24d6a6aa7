#pragma once
#include "base/text.h"

#include <stdbool.h>

/* Environments as lists of "K=V". Pure. */
#define ENV_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Add it, in place of one of the same name. What is not "K=V" with a K is left out. -ENOMEM. */
MUST_USE int env_set(struct text_list *env, const char *assignment);
MUST_USE int env_set_pair(struct text_list *env, const char *name, const char *value);
MUST_USE int env_set_all(struct text_list *env, const char *const *assignments);
/* Take away all whose name begins so: "LC_" or "TZ=". */
void env_remove(struct text_list *env, const char *prefix);
/* What of a file such as /etc/environment assigns: "K=V" or "export K=V", in quotes or not, with comments; nothing is
 * expanded. */
MUST_USE int env_set_text(struct text_list *env, const char *text);
/* The value or NULL. */
const char *env_get(const struct text_list *env, const char *name);

/* The paths that a program's name can mean, in the order of PATH (NULL or empty: ENV_PATH): the name itself when it has
 * a slash. An empty part of PATH is the working directory. -ENOMEM. */
MUST_USE int env_candidates(struct text_list *ret, const char *path, const char *name);
