/* QEMU's side of the QMP link, over a socket pair: whatever comes, the client survives, and ends at most once. */
#include "base/file.h"
#include "qemu/qmp.h"

#include <assert.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ends, owed;

static void on_reply(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	(void)qmp, (void)data;
	assert((result == NULL) != (err == NULL));
	assert(owed > 0);
	owed--;
}

static void on_ready(struct qmp *qmp, void *data)
{
	(void)data;
	assert(qmp_is_ready(qmp));
	if (qmp_execute(qmp, "query-status", NULL, on_reply, NULL) == 0)
		owed++;
}

static void on_event(struct qmp *qmp, const char *name, const json_t *body, void *data)
{
	(void)data;
	assert(name && (!body || json_is_object(body)));
	if (qmp_execute(qmp, "stop", json_object(), on_reply, NULL) == 0)
		owed++;
}

static void on_end(struct qmp *qmp, const struct annex_error *err, void *data)
{
	(void)qmp, (void)data;
	assert(!err || annex_error_message(err));
	ends++;
}

static const struct qmp_callbacks callbacks = {on_ready, on_event, on_end};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { LONGEST = 1 << 16 };
	auto_loop struct loop *loop = NULL;
	auto_close int qemu = -1;
	struct qmp *qmp = NULL;
	int pair[2];

	ends = owed = 0;
	if (size > LONGEST || loop_new(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	qemu = pair[0];
	if (qmp_new(&qmp, loop, pair[1], &callbacks, NULL) < 0 || file_write_all(qemu, data, size) < 0)
		abort();
	shutdown(qemu, SHUT_WR);
	for (int i = 0; i < 64 && ends == 0; i++)
		loop_turn(loop, 0);
	assert(ends == 1 && owed == 0);
	qmp_free(qmp);
	return 0;
}
