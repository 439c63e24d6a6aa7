#pragma once
#include "json/json.h"
#include "loop/loop.h"

/*
 * Client of the QEMU machine protocol: JSON objects, one a line, over a stream socket. Waits for the greeting,
 * negotiates, then runs commands; replies are matched by id, events are passed on. Anything that is not the protocol
 * breaks the link.
 */
struct qmp;

#define QMP_LINE_LIMIT    (1u << 20) /* of one message from QEMU */
#define QMP_PENDING_LIMIT 64u        /* commands without a reply yet */
#define QMP_WRITE_LIMIT   (1u << 20) /* bytes that QEMU has not read yet */

struct qmp_callbacks {
	void (*on_ready)(struct qmp *qmp, void *data); /* commands may be sent from now on */
	void (*on_event)(struct qmp *qmp, const char *name, const json_t *body, void *data); /* body may be NULL */
	/* Last callback: the link is gone; err NULL when QEMU closed it. Owed replies have been failed before. */
	void (*on_end)(struct qmp *qmp, const struct annex_error *err, void *data);
};

/* `result` belongs to the link; NULL, and err set, when the command failed (GUEST: QEMU refused it; SYSTEM: no link).
 */
typedef void qmp_reply_fn(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data);

/* Takes fd on success. Callbacks may free it. -errno. */
MUST_USE int qmp_new(struct qmp **ret, struct loop *loop, int fd, const struct qmp_callbacks *callbacks, void *data);
void qmp_free(struct qmp *qmp); /* owed replies are dropped without a call */

/* Takes `arguments` (may be NULL) in any case; fn may be NULL. -ENOTCONN when not ready, -ENOBUFS past a limit,
 * -ENOMEM. */
MUST_USE int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, qmp_reply_fn *fn, void *data);
bool qmp_is_ready(const struct qmp *qmp);
