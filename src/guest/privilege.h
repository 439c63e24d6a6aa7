#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Let the user become root without a password, by sudo, and by doas where the image has that. The rule for sudo is made
 * in any case: where sudo is installed later it works at once. What the machine's owner made of a rule stays. Runs with
 * the disk as root. *ret_changed: a file was written.
 */
#define PRIVILEGE_FILE_MAX (1u << 20) /* bytes of sudoers, doas.conf */

MUST_USE int privilege_grant(bool *ret_changed, const char *name, uint32_t uid, struct annex_error **err);

/* Whether a text of /etc/sudoers includes the files in /etc/sudoers.d. Pure. */
bool privilege_includes(const char *sudoers);
/* A line of doas.conf. Pure. */
void privilege_doas_rule(struct text *out, const char *name);
