#pragma once
/*
 * The real annex-share, confined, in the place of a server in this process: asked by the bridge that connects several
 * of them. Tests of the server run with it when ANNEX_TEST_CONFINED is set.
 */
#include "test.h"

#include "base/file.h"
#include "share/control.h"
#include "share/further.h"
#include "confine/rights.h"
#include "share/root.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

struct confined {
	struct loop *loop;
	struct further *further;
	struct bridge *bridge;
	bool answered, ended;
	struct annex_error *refusal;
};

static inline void confined_on_answer(const struct annex_error *refusal, void *data)
{
	struct confined *confined = ((const struct further *)data)->owner;

	confined->answered = true;
	if (refusal)
		(void)fail_relayed(&confined->refusal, annex_error_kind(refusal), annex_error_errno(refusal),
				   annex_error_message(refusal), annex_error_hint(refusal));
}

static inline void confined_on_ended(const struct annex_error *why, void *data)
{
	struct confined *confined = ((const struct further *)data)->owner;

	confined->ended = true;
	if (why)
		print_error("%s\n", annex_error_message(why));
}

static const struct peer_callbacks confined_callbacks = {.on_answer = confined_on_answer,
							 .on_ended = confined_on_ended};

/* Beside the folder of the tests. */
static inline void confined_program(char path[PATH_MAX])
{
	char self[PATH_MAX] = {0};

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	assert_true(snprintf(path, PATH_MAX, "%s/annex-share", dirname(dirname(self))) < PATH_MAX);
}

static inline int confined_ask(struct confined *confined, enum message_kind kind, const void *body, const int *fds,
			       unsigned count, struct annex_error **err)
{
	auto_text struct text packet = {0};

	if (control_encode(&packet, kind, body, err) < 0)
		return -1;
	confined->answered = false;
	assert_int_equal(peer_ask(confined->further->peer, &packet, fds, count, NULL), 0);
	while (!confined->answered && !confined->ended)
		assert_true(loop_turn(confined->loop, 20000));
	assert_false(confined->ended);
	if (!confined->refusal)
		return 0;
	if (err)
		*err = TAKE(confined->refusal);
	annex_error_free(TAKE(confined->refusal));
	return -1;
}

static inline int confined_add(struct confined *confined, int fd, const struct share_options *options,
			       struct annex_error **err)
{
	const struct message_share_add add = {.name = options->name,
					      .read_only = options->read_only,
					      .cache = (uint32_t)options->cache,
					      .masks = options->masks};

	return confined_ask(confined, MESSAGE_SHARE_ADD, &add, &fd, 1, err);
}

static inline int confined_remove(struct confined *confined, const char *name, struct annex_error **err)
{
	const struct message_share_remove remove = {.name = name};

	return confined_ask(confined, MESSAGE_SHARE_REMOVE, &remove, NULL, 0, err);
}

/* As this process's user, or as another one: then this one must be root's, and `folder` is where a script may lie. */
static inline struct confined *confined_new(const char *folder, uid_t other, uid_t guest_user)
{
	struct confined *confined = calloc(1, sizeof(*confined));
	const struct message_share_setup setup = {
		.queues = 1, .workers = 4, .number = 7, .uid = guest_user, .gid = guest_user};
	char program[PATH_MAX], script[PATH_MAX], text[PATH_MAX + 128];

	assert_non_null(confined);
	assert_int_equal(loop_new(&confined->loop), 0);
	confined_program(program);
	if (other) {
		snprintf(script, sizeof(script), "%s-as-%u", folder, other);
		snprintf(text, sizeof(text), "#!/bin/sh\nexec setpriv --reuid %u --regid %u --clear-groups \"%s\"\n",
			 other, other, program);
		assert_int_equal(file_write_atomic(AT_FDCWD, script, text, strlen(text), 0700), 0);
	}
	assert_int_equal(further_new(&confined->further, confined->loop, other ? script : program, 7, "files", 4,
				     &confined_callbacks, confined, NULL),
			 0);
	assert_int_equal(confined_ask(confined, MESSAGE_SHARE_SETUP, &setup, NULL, 0, NULL), 0);
	if (other)
		assert_int_equal(unlink(script), 0);
	return confined;
}

/* What it may reach is what was added before. */
static inline void confined_serve(struct confined *confined)
{
	struct further *further = confined->further;

	assert_int_equal(confined_ask(confined, MESSAGE_SHARE_SERVE, NULL, further->own_ends, further->own_count, NULL),
			 0);
	rights_close(further->own_ends, &further->own_count);
	assert_int_equal(bridge_open(&confined->bridge, further->device_ends, further->device_count, NULL), 0);
	rights_close(further->device_ends, &further->device_count);
}

static inline void confined_free(struct confined *confined)
{
	bridge_free(confined->bridge);
	further_free(confined->further);
	loop_free(confined->loop);
	free(confined);
}
