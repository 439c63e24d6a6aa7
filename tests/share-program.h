#pragma once
/*
 * The real annex-share with a machine that is none: started by share/process.h, its device driven by tests/frontend.h.
 * One request at a time, in the first request queue.
 */
#include "test.h"

#include "frontend.h"
#include "share/process.h"

#include <libgen.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdio.h>

#define PROGRAM_REQUEST  (5u * MIB / 4) /* where requests lie in the machine's memory, … */
#define PROGRAM_ANSWER   (2u * MIB)     /* … and answers */
#define PROGRAM_LANE     1
#define PROGRAM_PATIENCE 20000

struct program {
	struct loop *loop;
	struct share_process *process;
	struct machine machine;
	bool started;
	unsigned done, refused; /* answers to what was asked of the process */
	bool ended;
	struct annex_error *refusal, *why; /* the last ones */
};

static inline void program_on_done(const struct annex_error *err, void *data)
{
	struct program *program = data;

	annex_error_free(TAKE(program->refusal));
	program->done++;
	program->refused += err != NULL;
	if (err)
		(void)fail_relayed(&program->refusal, annex_error_kind(err), annex_error_errno(err),
				   annex_error_message(err), annex_error_hint(err));
}

static inline void program_on_ended(const struct annex_error *err, void *data)
{
	struct program *program = data;

	assert_false(program->ended);
	program->ended = true;
	if (err)
		(void)fail_relayed(&program->why, annex_error_kind(err), annex_error_errno(err),
				   annex_error_message(err), annex_error_hint(err));
}

static const struct share_callbacks program_callbacks = {program_on_done, program_on_ended};

/* Beside the folder of the tests. */
static inline void program_path(char path[PATH_MAX])
{
	char self[PATH_MAX] = {0};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_true(snprintf(path, PATH_MAX, "%s/annex-share", dirname(dirname(self))) < PATH_MAX);
}

/* Nothing is said to the device yet: its socket is in the machine. */
static inline void program_begin(struct program *program, uid_t uid, const struct share_process_share *shares,
				 size_t count)
{
	char path[PATH_MAX];
	const struct share_process_options options = {.program = path, .queues = LANES - 1, .uid = uid, .gid = uid};
	struct annex_error *err = NULL;

	*program = (struct program){.machine = {.socket = -1}};
	program_path(path);
	assert_int_equal(loop_new(&program->loop), 0);
	if (share_process_start(&program->process, &program->machine.socket, program->loop, &options, shares, count,
				&program_callbacks, program, &err) < 0)
		print_error("%s\n", annex_error_message(err));
	assert_null(err);
}

/* The loop turns until so much was answered, or it ended. */
static inline void program_wait(struct program *program, unsigned done)
{
	while (program->done < done && !program->ended)
		assert_true(loop_turn(program->loop, PROGRAM_PATIENCE));
}

static inline void program_wait_end(struct program *program)
{
	while (!program->ended)
		assert_true(loop_turn(program->loop, PROGRAM_PATIENCE));
}

/* The first answer of the device, which is there once the process has asked for all that is to come before it. */
static inline void program_wait_device(struct program *program)
{
	const uint32_t request[3] = {VHOST_GET_QUEUE_NUM, 1, 0};
	uint32_t answer[5];
	struct pollfd ready[] = {{.fd = program->machine.socket, .events = POLLIN},
				 {.fd = loop_fd(program->loop), .events = POLLIN}};

	assert_int_equal(send(ready[0].fd, request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
	do {
		assert_true(poll(ready, 2, PROGRAM_PATIENCE) > 0);
		(void)loop_turn(program->loop, 0);
		assert_false(program->ended);
	} while (!ready[0].revents);
	assert_int_equal(recv(ready[0].fd, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
	assert_int_equal(answer[3], LANES);
}

static inline void program_start_queues(struct program *program)
{
	program_wait_device(program);
	start_with(&program->machine, program->machine.socket);
	program->started = true;
}

/* Returns the size of the answer. */
static inline size_t program_serve(struct program *program, const void *in, size_t in_size, void *out, size_t out_size)
{
	struct machine *machine = &program->machine;
	struct lane *lane = &machine->lanes[PROGRAM_LANE];
	const uint64_t one = 1;
	uint32_t size = 0;

	assert_true(in_size <= PROGRAM_ANSWER - PROGRAM_REQUEST && out_size <= SPARE - PROGRAM_ANSWER);
	memcpy(machine->memory + PROGRAM_REQUEST, in, in_size);
	driver_describe(&lane->driver, 0, PROGRAM_REQUEST, (uint32_t)in_size, VRING_DESC_F_NEXT, 1);
	driver_describe(&lane->driver, 1, PROGRAM_ANSWER, (uint32_t)out_size, VRING_DESC_F_WRITE, 0);
	if (driver_offer(&lane->driver, 0))
		assert_int_equal(write(lane->kick, &one, sizeof(one)), sizeof(one));
	assert_int_equal(collect(lane, &size), 0);
	assert_true(size <= out_size);
	memcpy(out, machine->memory + PROGRAM_ANSWER, size);
	return size;
}

static inline void program_end(struct program *program)
{
	share_process_free(program->process);
	if (program->started)
		stop(&program->machine);
	else
		close(program->machine.socket);
	loop_free(program->loop);
	annex_error_free(program->refusal);
	annex_error_free(program->why);
}
