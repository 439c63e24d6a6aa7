#ifndef ANNEX_DOCTOR_H
#define ANNEX_DOCTOR_H

#include <stddef.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

enum annex_doctor_level {
	ANNEX_DOCTOR_GOOD,
	ANNEX_DOCTOR_COULD_BE_BETTER,
	ANNEX_DOCTOR_BROKEN /* machines can't run */
};

struct annex_doctor_finding {
	enum annex_doctor_level level;
	char *subject; /* "kvm", "qemu", "kernel", "disk", "limits", "helpers", "sandbox", "autostart" */
	char *text;    /* one line */
	char *hint;    /* the command that improves it, or NULL */
};

/* Look at the host. Blocks while it tries the accelerators. Free with annex_doctor_free(). */
int annex_doctor(struct annex_doctor_finding **ret, size_t *ret_count, struct annex_context *context,
		 struct annex_error **err);
void annex_doctor_free(struct annex_doctor_finding *findings, size_t count);

#ifdef __cplusplus
}
#endif

#endif
