#pragma once
#include "loop/loop.h"
#include "qemu/config.h"
#include "qemu/qmp.h"

/* One QEMU process, from its start to its end, on the caller's loop. It is a child of the calling thread and dies with
 * it. Nothing here blocks; deadlines are the caller's. */
struct qemu_vm;

enum qemu_event_kind {
	QEMU_STARTED, /* the guest's processors run */
	QEMU_PAUSED,
	QEMU_RESUMED,
	QEMU_RESET,    /* and it runs again; by_guest */
	QEMU_PANICKED, /* the guest's kernel said so; SHUTDOWN and ENDED follow */
	QEMU_SHUTDOWN, /* ENDED follows; by_guest, reason */
	QEMU_IO_ERROR, /* a disk of ours failed; reason: "nospace" (the guest is paused) or "error" (the guest was told)
			*/
	QEMU_ENDED,    /* the process is gone and reaped: always the last event, and always given */
};

struct qemu_event {
	enum qemu_event_kind kind;
	bool by_guest;      /* the guest asked for it, not we */
	const char *reason; /* QEMU's word: "guest-shutdown", "guest-reset", "guest-panic", "host-qmp-quit", … */
	int status;         /* ENDED: a wait status */
	const struct annex_error *err; /* ENDED: why, unless guest or host had asked for the end; else NULL */
};

/* May call everything here, qemu_vm_free() included. */
typedef void qemu_event_fn(struct qemu_vm *vm, const struct qemu_event *event, void *data);

#define QEMU_STDERR_LIMIT (64u << 10) /* kept of what QEMU writes to its standard error: the end */

/* Starts the process. A failure after this is told by ENDED: NOT_FOUND, BUSY (a disk is in use), NO_MEMORY, UNSUPPORTED
 * (accelerator), else SYSTEM. */
MUST_USE int qemu_vm_start(struct qemu_vm **ret, struct loop *loop, const struct qemu_probe *probe,
			   const struct qemu_config *config, qemu_event_fn *fn, void *data, struct annex_error **err);
/* Kills the process if it still runs, and waits for that. No events from here on. NULL is allowed. */
void qemu_vm_free(struct qemu_vm *vm);

/* Our ends of the stream sockets to the serial console and to a port (by its place in config->ports). The caller owns
 * them; -1 when they are taken already or there is none. A peer that is not read from holds the guest up. */
int qemu_vm_take_console(struct qemu_vm *vm);
int qemu_vm_take_port(struct qemu_vm *vm, size_t index);

/* Requests; what comes of them is told by events. Without effect before STARTED (pause, resume, power button) and after
 * ENDED. */
void qemu_vm_pause(struct qemu_vm *vm);
void qemu_vm_resume(struct qemu_vm *vm);
void qemu_vm_press_power(struct qemu_vm *vm); /* the guest may ignore it */
void qemu_vm_quit(struct qemu_vm *vm);        /* at once, disks flushed; the guest is not asked */
void qemu_vm_kill(struct qemu_vm *vm);        /* SIGKILL: for when quit takes too long */

/* Any other command; see qmp_execute(). -ENOTCONN before STARTED and when QEMU is gone. */
MUST_USE int qemu_vm_execute(struct qemu_vm *vm, const char *command, json_t *arguments, qmp_reply_fn *fn, void *data);

pid_t qemu_vm_pid(const struct qemu_vm *vm); /* 0 after ENDED */
bool qemu_vm_is_started(const struct qemu_vm *vm);
